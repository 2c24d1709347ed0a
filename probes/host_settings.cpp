// SPDX-License-Identifier: Apache-2.0
#include "probes/host_settings.hpp"

#include <net/if.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lib/base/text.hpp"
#include "lib/postfix/read_configuration.hpp"

namespace postfathom {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_lines = 10'000;

bool installed(const std::string& program) {
    for (const std::string directory : {"/usr/sbin/", "/sbin/", "/usr/bin/"})
        if (::access((directory + program).c_str(), X_OK) == 0) return true;
    return false;
}

bool exists(const std::string& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

std::optional<int> kernel_number(const char* path) {
    std::ifstream file(path);
    int value = 0;
    if (!(file >> value)) return std::nullopt;
    return value;
}

std::optional<PostfixFacts> postfix_facts() {
    const auto values = postconf("", {"-x"});
    if (!values) return std::nullopt;
    PostfixFacts facts;
    facts.values = parse_parameters(*values);
    if (const auto service = postconf("", {"-M", "smtp/unix"})) facts.smtp_service = trim(*service);
    return facts;
}

// "iface wg0 inet static" of interfaces(5).
bool configures(const std::string& file, const std::string& interface) {
    std::ifstream stream(file);
    std::string line;
    for (std::size_t count = 0; count < most_lines && std::getline(stream, line); ++count) {
        std::istringstream words(line);
        std::string keyword;
        std::string name;
        if (words >> keyword >> name && keyword == "iface" && name == interface) return true;
    }
    return false;
}

std::string ifupdown_file(const std::string& interface, const std::string& root) {
    auto main = root + "/etc/network/interfaces";
    if (configures(main, interface)) return main;
    std::error_code trouble;
    for (const auto& entry : fs::directory_iterator(main + ".d", trouble))
        if (configures(entry.path().string(), interface)) return entry.path().string();
    return "";
}

// networkd(8) tells by the interface's number which file made it.
std::string networkd_file(const std::string& interface, const std::string& root) {
    const auto index = ::if_nametoindex(interface.c_str());
    if (index == 0) return "";
    std::ifstream state(root + "/run/systemd/netif/links/" + std::to_string(index));
    std::string line;
    for (std::size_t count = 0; count < most_lines && std::getline(state, line); ++count) {
        constexpr std::string_view key = "NETWORK_FILE=";
        if (line.starts_with(key)) return line.substr(key.size());
    }
    return "";
}

}  // namespace

HostSettings host_settings() {
    HostSettings settings;
    // docker(1) and podman(1) leave these.
    settings.in_container = exists("/.dockerenv") || exists("/run/.containerenv");
    settings.has_nft = installed("nft");
    settings.has_iptables = installed("iptables");
    settings.tcp_mtu_probing = kernel_number("/proc/sys/net/ipv4/tcp_mtu_probing");
    settings.postfix = postfix_facts();
    return settings;
}

OwnedInterface interface_owner(const std::string& interface, const std::string& root) {
    if (interface.empty() || interface.find('/') != std::string::npos) return {};
    const auto wireguard = "/etc/wireguard/" + interface + ".conf";
    if (exists(root + wireguard)) return {InterfaceOwner::wg_quick, wireguard};
    if (auto file = networkd_file(interface, root); !file.empty())
        return {InterfaceOwner::networkd, std::move(file)};
    if (const auto file = ifupdown_file(interface, root); !file.empty())
        return {InterfaceOwner::ifupdown, file.substr(root.size())};
    return {};
}

void add_settings(HostFacts& facts, const HostSettings& settings) {
    facts.in_container = settings.in_container;
    facts.has_nft = settings.has_nft;
    facts.has_iptables = settings.has_iptables;
    facts.tcp_mtu_probing = settings.tcp_mtu_probing;
    facts.postfix = settings.postfix;
    const auto owned = interface_owner(facts.interface);
    facts.owner = owned.owner;
    facts.owner_file = owned.file;
}

}  // namespace postfathom
