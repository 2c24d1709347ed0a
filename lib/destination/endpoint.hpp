// SPDX-License-Identifier: Apache-2.0
// A server as we meet it: an address and port, the service spoken there, and where we look from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/destination/ip_address.hpp"

namespace postfathom {

enum class Service { smtp, submission, smtps, imap, imaps };

// "smtp", "submission", ... as in the configuration, the JSON schema and --service.
std::string_view to_string(Service service);
std::optional<Service> parse_service(std::string_view text);
std::uint16_t default_port(Service service);   // 25, 587, 465, 143, 993
bool implicit_tls(Service service);            // smtps, imaps (RFC 8314)
bool speaks_imap(Service service);             // else SMTP
Service service_for_port(std::uint16_t port);  // smtp for a port that is none of the five

struct Endpoint {
    IpAddress address;
    std::uint16_t port = 25;
    Service service = Service::smtp;
    std::string name;  // host name, as SNI and for the certificate; empty for a bare literal

    auto operator<=>(const Endpoint&) const = default;
};

// "mail.example.org[192.0.2.1]:25", as Postfix writes it in its log.
std::string to_string(const Endpoint& endpoint);

// Where we look from. A path belongs to a vantage and an address, never to an address alone.
struct Vantage {
    IpAddress source;
    std::string interface;  // empty: unknown
    std::optional<PathMtu> interface_mtu;
    // The MTU the kernel uses for this destination now; below interface_mtu when a route or a
    // learned path MTU says so.
    std::optional<PathMtu> route_mtu;
    // It was learned (an ICMP error, or a probe before us) and will be forgotten; else a route has
    // it.
    bool route_mtu_learned = false;

    bool operator==(const Vantage&) const = default;
};

}  // namespace postfathom
