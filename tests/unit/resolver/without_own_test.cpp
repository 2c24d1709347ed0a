// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "probes/resolver.hpp"

using namespace postfathom;

namespace {

bool is_own(const IpAddress& address) {
    return address.is_loopback() || address == IpAddress::parse("192.0.2.1");
}

ResolvedHost host(std::string name, std::initializer_list<const char*> addresses,
                  std::uint16_t preference) {
    ResolvedHost result{std::move(name), {}, preference};
    for (const auto* text : addresses) result.addresses.push_back(*IpAddress::parse(text));
    return result;
}

std::string names_left(std::vector<ResolvedHost> hosts) {
    std::string names;
    for (const auto& left : without_own(std::move(hosts), is_own)) names += left.name + ' ';
    return names;
}

}  // namespace

TEST_CASE("servers behind this host in a domain's MX records are not gone on to, nor is it") {
    CHECK(names_left({}).empty());
    CHECK(names_left({host("a", {"192.0.2.7"}, 10), host("b", {"10.9.9.9"}, 20)}) == "a b ");
    CHECK(names_left({host("a", {"127.0.0.1"}, 0)}).empty());
    CHECK(names_left({host("a", {"192.0.2.7", "192.0.2.1"}, 0)}).empty());
    CHECK(names_left({host("a", {"192.0.2.7"}, 10), host("us", {"::1"}, 20),
                      host("b", {"192.0.2.8"}, 30)}) == "a ");
    // Equal ones are no better than we are.
    CHECK(names_left({host("a", {"192.0.2.7"}, 10), host("b", {"192.0.2.8"}, 20),
                      host("us", {"192.0.2.1"}, 20)}) == "a ");
}
