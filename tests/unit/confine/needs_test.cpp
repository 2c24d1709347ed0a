// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/needs.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace postfathom {
namespace {

const std::string config = "/etc/postfathom/postfathom.toml";

// The strongest of what `needs` lets be done at the place, as it is named there; nothing: nothing.
std::vector<Access> at(const Needs& needs, const std::string& path) {
    std::vector<Access> found;
    for (const auto& place : needs.places)
        if (place.path == path) found.push_back(place.access);
    return found;
}
using Only = std::vector<Access>;

}  // namespace

TEST_CASE("the milter needs its configuration, the cache, and to take its socket away") {
    const Settings settings;
    const auto needs = milter_needs(settings, config);
    CHECK_FALSE(needs.programs);
    CHECK_FALSE(needs.network);
    CHECK(at(needs, config) == Only{Access::read});
    CHECK(at(needs, "/var/lib/postfathom") == Only{Access::share});
    CHECK(at(needs, "/var/spool/postfix/run/postfathom") == Only{Access::remove});
    CHECK(at(needs, "/var/log/mail.log").empty());
    // And the time of day.
    CHECK(needs.places.size() == 5);
}

TEST_CASE(
    "the policy service reads the log beside it, and starts a program for the journal alone") {
    Settings settings;
    const Surroundings surroundings{{"/opt/bin"}, {}, {}};
    auto needs = policyd_needs(settings, config, surroundings);
    CHECK_FALSE(needs.programs);
    CHECK_FALSE(needs.network);
    CHECK(at(needs, "/var/log/mail.log") == Only{Access::read});
    CHECK(at(needs, "/var/spool/postfix/run/postfathom") == Only{Access::remove});
    CHECK(at(needs, "/usr").empty());

    settings.policy.listen = TcpPlace{IpAddress::from_v4({127, 0, 0, 1}), 10040};
    CHECK_FALSE(policyd_needs(settings, config, surroundings).network);  // it is open by then

    settings.mail_log.journal = true;
    needs = policyd_needs(settings, config, surroundings);
    CHECK(needs.programs);
    CHECK_FALSE(needs.network);
    CHECK(at(needs, "/var/log/mail.log").empty());
    CHECK(at(needs, "/var/log/journal") == Only{Access::read});
    CHECK(at(needs, "/usr") == Only{Access::run});
    CHECK(at(needs, "/opt/bin") == Only{Access::run});
}

TEST_CASE("a socket in another directory, and no log") {
    Settings settings;
    settings.tables.socket = "/srv/tables/t.sock";
    settings.mail_log.file.clear();
    const auto needs = policyd_needs(settings, config, {});
    CHECK(at(needs, "/srv/tables") == Only{Access::remove});
    CHECK(std::none_of(needs.places.begin(), needs.places.end(),
                       [](const Place& place) { return place.path.empty(); }));
}

TEST_CASE("the prober keeps the cache, asks the network, Postfix and the resolver") {
    Settings settings;
    settings.probe.ca_file = "/srv/tls/anchors.pem";
    settings.mail_log.dovecot_file = "/srv/log/dovecot.log";
    const Surroundings surroundings{{}, {"/opt/postfix/etc"}, {"/srv/tables/tls"}};
    const auto needs = probed_needs(settings, config, surroundings);
    CHECK(needs.programs);
    CHECK(needs.network);
    CHECK(at(needs, "/var/lib/postfathom") == Only{Access::keep});
    for (const auto* path :
         {"/srv/tls/anchors.pem", "/srv/log/dovecot.log", "/usr/share/dns/root.key",
          "/srv/tables/tls", "/opt/postfix/etc", "/etc/resolv.conf", "/etc"})
        CHECK_MESSAGE(at(needs, path) == Only{Access::read}, path);
    // What is written is the cache alone.
    for (const auto& place : needs.places)
        CHECK_MESSAGE((place.access == Access::read || place.access == Access::run ||
                       place.path == "/var/lib/postfathom" || place.path == "/dev/null"),
                      place.path);
}

TEST_CASE("paths are found in main.cf's lists of tables") {
    CHECK(paths_in("").empty());
    CHECK(paths_in("static:encrypt").empty());
    CHECK(paths_in("socketmap:unix:run/postfathom/tables.sock:tls").empty());
    CHECK(paths_in("hash:/etc/postfix/policy, proxy:ldap:/srv/ldap.cf\tcdb:/a") ==
          std::vector<std::string>{"/etc/postfix/policy", "/srv/ldap.cf", "/a"});
    CHECK(paths_in("inline:{ example.org=secure } pipemap:{texthash:/x/y,unionmap:{lmdb:/z}}") ==
          std::vector<std::string>{"/x/y", "/z"});
}

}  // namespace postfathom
