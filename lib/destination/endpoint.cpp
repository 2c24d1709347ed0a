// SPDX-License-Identifier: Apache-2.0
#include "lib/destination/endpoint.hpp"

#include <array>

namespace postfathom {

namespace {

struct ServiceRow {
    Service service;
    std::string_view name;
    std::uint16_t port;
    bool implicit_tls;
};

constexpr std::array<ServiceRow, 5> services{{
    {Service::smtp, "smtp", 25, false},
    {Service::submission, "submission", 587, false},
    {Service::smtps, "smtps", 465, true},
    {Service::imap, "imap", 143, false},
    {Service::imaps, "imaps", 993, true},
}};

const ServiceRow& row(Service service) {
    for (const auto& candidate : services)
        if (candidate.service == service) return candidate;
    return services.front();
}

}  // namespace

std::string_view to_string(Service service) { return row(service).name; }

std::optional<Service> parse_service(std::string_view text) {
    for (const auto& candidate : services)
        if (candidate.name == text) return candidate.service;
    return std::nullopt;
}

std::uint16_t default_port(Service service) { return row(service).port; }

bool implicit_tls(Service service) { return row(service).implicit_tls; }

bool speaks_imap(Service service) { return service == Service::imap || service == Service::imaps; }

Service service_for_port(std::uint16_t port) {
    for (const auto& candidate : services)
        if (candidate.port == port) return candidate.service;
    return Service::smtp;
}

std::string to_string(const Endpoint& endpoint) {
    return endpoint.name + '[' + endpoint.address.to_string() +
           "]:" + std::to_string(endpoint.port);
}

}  // namespace postfathom
