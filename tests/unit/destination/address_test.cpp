// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "lib/destination/endpoint.hpp"
#include "lib/destination/internal_address.hpp"
#include "lib/destination/ip_address.hpp"

using namespace postfathom;

TEST_CASE("addresses are read and written as inet_pton and inet_ntop do") {
    for (const auto* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "fe80::1"}) {
        const auto address = IpAddress::parse(text);
        REQUIRE(address.has_value());
        CHECK(address->to_string() == text);
    }
    CHECK(IpAddress::parse("2001:DB8:0::1")->to_string() == "2001:db8::1");
    for (const auto* text : {"", "192.0.2", "192.0.2.256", "[192.0.2.1]", "192.0.2.1/32",
                             "fe80::1%eth0", "mail.example.org", "1.2.3.4 "})
        CHECK_FALSE(IpAddress::parse(text).has_value());
    CHECK_FALSE(IpAddress::parse(std::string_view("192.0.2.1\0x", 11)).has_value());
}

TEST_CASE("an IPv4-mapped address is the IPv4 address") {
    CHECK(IpAddress::parse("::ffff:192.0.2.1") == IpAddress::parse("192.0.2.1"));
    CHECK(IpAddress::parse("::ffff:192.0.2.1")->family() == IpFamily::v4);
}

TEST_CASE("loopback and unspecified addresses are known in both families") {
    CHECK(IpAddress::parse("127.1.2.3")->is_loopback());
    CHECK(IpAddress::parse("::1")->is_loopback());
    CHECK_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
    CHECK_FALSE(IpAddress::parse("2001:db8::1")->is_loopback());
    CHECK(IpAddress::parse("0.0.0.0")->is_unspecified());
    CHECK(IpAddress::parse("::")->is_unspecified());
    CHECK_FALSE(IpAddress::parse("0.0.0.1")->is_unspecified());
}

TEST_CASE("addresses of our own host, link or site are told from those of the Internet") {
    for (const auto* text : {"0.0.0.0",
                             "0.1.2.3",
                             "10.0.0.0",
                             "10.255.255.255",
                             "100.64.0.1",
                             "100.127.255.255",
                             "127.0.0.1",
                             "169.254.169.254",
                             "172.16.0.1",
                             "172.31.255.255",
                             "192.0.0.8",
                             "192.168.1.1",
                             "198.18.0.1",
                             "198.19.255.255",
                             "224.0.0.1",
                             "240.0.0.1",
                             "255.255.255.255",
                             "::",
                             "::1",
                             "::a09:909",
                             "fc00::1",
                             "fdff::1",
                             "fe80::1",
                             "febf::1",
                             "fec0::1",
                             "ff02::1",
                             "::ffff:10.9.9.9",
                             "64:ff9b::10.9.9.9",
                             "64:ff9b::127.0.0.1",
                             "64:ff9b:1::1",
                             "2002:a09:909::1"}) {
        CAPTURE(text);
        CHECK(is_internal(*IpAddress::parse(text)));
    }
    for (const auto* text :
         {"1.1.1.1",        "9.255.255.255",      "11.0.0.0",         "100.63.255.255",
          "100.128.0.0",    "126.0.0.1",          "128.0.0.1",        "169.253.0.1",
          "172.15.255.255", "172.32.0.0",         "192.0.1.1",        "192.0.2.1",
          "192.167.0.1",    "192.169.0.1",        "198.17.255.255",   "198.20.0.0",
          "198.51.100.1",   "203.0.113.1",        "223.255.255.255",  "2001:db8::1",
          "2a00::1",        "64:ff9b::192.0.2.1", "2002:c000:201::1", "fbff::1",
          "fe00::1"}) {
        CAPTURE(text);
        CHECK_FALSE(is_internal(*IpAddress::parse(text)));
    }
}

TEST_CASE("services have a name, a port and a kind of TLS") {
    for (const auto service :
         {Service::smtp, Service::submission, Service::smtps, Service::imap, Service::imaps}) {
        CHECK(parse_service(to_string(service)) == service);
        CHECK(service_for_port(default_port(service)) == service);
    }
    CHECK(implicit_tls(Service::smtps));
    CHECK(implicit_tls(Service::imaps));
    CHECK_FALSE(implicit_tls(Service::submission));
    CHECK(service_for_port(2525) == Service::smtp);
    CHECK_FALSE(parse_service("SMTP").has_value());
}

TEST_CASE("an endpoint is written as Postfix writes it in its log") {
    CHECK(to_string(Endpoint{*IpAddress::parse("192.0.2.1"), 25, Service::smtp,
                             "mail.example.org"}) == "mail.example.org[192.0.2.1]:25");
    CHECK(to_string(Endpoint{*IpAddress::parse("2001:db8::1"), 587, Service::submission, ""}) ==
          "[2001:db8::1]:587");
}
