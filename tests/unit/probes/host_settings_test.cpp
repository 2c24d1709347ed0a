// SPDX-License-Identifier: Apache-2.0
// Who sets an interface up, by files below a root of the test's own.
#include "probes/host_settings.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace postfathom;
namespace fs = std::filesystem;

namespace {

class Root {
  public:
    Root() {
        std::string name = (fs::temp_directory_path() / "postfathom-root-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Root() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    void write(const std::string& file, const std::string& text) const {
        fs::create_directories(fs::path(path_ + file).parent_path());
        std::ofstream(path_ + file) << text;
    }
    OwnedInterface owner(const std::string& interface) const {
        return interface_owner(interface, path_);
    }

  private:
    std::string path_;
};

// The only interface that every host has; networkd's files are found by number.
std::string loopback_state() {
    return "/run/systemd/netif/links/" + std::to_string(::if_nametoindex("lo"));
}

}  // namespace

TEST_CASE("nobody is known to set up an interface that no file names") {
    const Root root;
    for (const char* interface : {"eth0", "lo", "", "../etc/passwd"}) {
        CAPTURE(std::string(interface));
        CHECK(root.owner(interface).owner == InterfaceOwner::unknown);
        CHECK(root.owner(interface).file.empty());
    }
}

TEST_CASE("wg-quick owns an interface that has its file") {
    const Root root;
    root.write("/etc/wireguard/wg0.conf", "[Interface]\n");
    CHECK(root.owner("wg0").owner == InterfaceOwner::wg_quick);
    CHECK(root.owner("wg0").file == "/etc/wireguard/wg0.conf");
    CHECK(root.owner("wg1").owner == InterfaceOwner::unknown);
}

TEST_CASE("ifupdown owns what an iface stanza names, in the file or beside it") {
    const Root root;
    root.write("/etc/network/interfaces",
               "auto eth0\n# iface eth7 inet dhcp\niface  eth0 inet static\n  mtu 1500\n");
    root.write("/etc/network/interfaces.d/more", "iface eth1 inet6 auto\n");
    CHECK(root.owner("eth0").owner == InterfaceOwner::ifupdown);
    CHECK(root.owner("eth0").file == "/etc/network/interfaces");
    CHECK(root.owner("eth1").file == "/etc/network/interfaces.d/more");
    CHECK(root.owner("eth").owner == InterfaceOwner::unknown);
    CHECK(root.owner("eth7").owner == InterfaceOwner::unknown);
}

TEST_CASE("networkd owns an interface where it says by which file") {
    const Root root;
    root.write(loopback_state(), "ADMIN_STATE=configured\n");
    CHECK(root.owner("lo").owner == InterfaceOwner::unknown);
    root.write(loopback_state(),
               "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-x.network\n");
    CHECK(root.owner("lo").owner == InterfaceOwner::networkd);
    CHECK(root.owner("lo").file == "/etc/systemd/network/10-x.network");
    // wg-quick sets its interfaces up whatever networkd says of them.
    root.write("/etc/wireguard/lo.conf", "[Interface]\n");
    CHECK(root.owner("lo").owner == InterfaceOwner::wg_quick);
}
