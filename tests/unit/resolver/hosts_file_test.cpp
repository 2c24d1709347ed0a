// SPDX-License-Identifier: Apache-2.0
#include "probes/hosts_file.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;

namespace {

std::string joined(std::string_view text, std::string_view name) {
    std::string result;
    for (const auto& address : addresses_in_hosts_file(text, name))
        result += (result.empty() ? "" : " ") + address.to_string();
    return result;
}

constexpr std::string_view file =
    "127.0.0.1 localhost\n"
    "# 192.0.2.9 mail.example.org\n"
    "192.0.2.1\tmail.example.org mail # mx1.example.org\n"
    "2001:db8::1  Mail.Example.ORG\r\n"
    "192.0.2.1 mail.example.org\n"
    "not-an-address mail.example.org\n"
    "192.0.2.7\n"
    "192.0.2.8 last.example.org";

}  // namespace

TEST_CASE("a name in the hosts file gives its addresses in the file's order, each once") {
    CHECK(joined(file, "mail.example.org") == "192.0.2.1 2001:db8::1");
    CHECK(joined(file, "MAIL.EXAMPLE.ORG") == "192.0.2.1 2001:db8::1");
    CHECK(joined(file, "mail") == "192.0.2.1");
    CHECK(joined(file, "last.example.org") == "192.0.2.8");
}

TEST_CASE("comments, unknown names and parts of names give nothing") {
    CHECK(joined(file, "mx1.example.org").empty());
    CHECK(joined(file, "example.org").empty());
    CHECK(joined(file, "192.0.2.7").empty());
    CHECK(joined("", "mail.example.org").empty());
    CHECK(joined(std::string(100'000, '\0'), "mail.example.org").empty());
}
