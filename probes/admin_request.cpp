// SPDX-License-Identifier: Apache-2.0
#include "probes/admin_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <charconv>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::size_t default_page = 100;
constexpr std::size_t largest_page = 1000;
constexpr std::size_t max_body_depth = 8;

// As the header Allow has them (RFC 9110 section 10.2.1).
std::string_view allowed_methods(std::string_view path) {
    if (path == "/v1/probe") return "POST";
    if (path.starts_with(destination_prefix)) return "GET, DELETE";
    if (path == "/" || path == "/healthz" || path == "/v1/status" || path == "/v1/destinations" ||
        path == "/metrics" || path == "/v1/clients" || path == "/v1/sockets" ||
        path == "/v1/events" || path.starts_with(route_prefix) || path.starts_with(delivery_prefix))
        return "GET";
    return "";
}

bool allows(std::string_view methods, std::string_view method) {
    for (const auto allowed : split(methods, ','))
        if (trim(allowed) == method) return true;
    return false;
}

// Host as a client of the loopback port writes it (RFC 9110 section 7.2).
bool names_loopback(std::string_view host) {
    const auto colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos)
        host = host.substr(0, colon);
    return host == "127.0.0.1" || host == "[::1]" || to_lower(host) == "localhost";
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool known(std::uint32_t number, const std::vector<std::uint32_t>& numbers) {
    return number != unknown_account &&
           std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool is_among(const AdminPeer& peer, const AccountList& list) {
    return list.all || known(peer.user, list.users) ||
           std::any_of(peer.groups.begin(), peer.groups.end(),
                       [&](std::uint32_t group) { return known(group, list.groups); });
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : ", ") + printable(name, 64);
    return text.empty() ? "nobody" : text;
}

AdminReply bad_body(const std::string& message) {
    return admin_error(400, "bad-request",
                       message + "; expected {\"destination\": \"NEXTHOP\", \"wait\": true|false}");
}

}  // namespace

AdminReply admin_error(unsigned status, std::string_view code, std::string_view message) {
    AdminReply reply{status, {}};
    json::object error;
    error["code"] = code;
    error["message"] = message;
    reply.body["error"] = std::move(error);
    return reply;
}

Result<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low < 0)
            return fail(ErrorCode::invalid_input,
                        "expected two hexadecimal digits after %, found \"" +
                            printable(text.substr(i, 3), 8) + "\"");
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return decoded;
}

Target split_target(std::string_view target) {
    const auto mark = std::min(target.find('?'), target.size());
    return {target.substr(0, mark), target.substr(std::min(mark + 1, target.size()))};
}

std::optional<AdminReply> refuse_at(Door door, const RequestWords& request) {
    if (door == Door::unix_socket) return std::nullopt;
    if (!names_loopback(request.host))
        return admin_error(403, "bad-host",
                           "expected a name of the loopback interface in Host, such as "
                           "127.0.0.1, found " +
                               printable(request.host, 64));
    if (request.method != "GET")
        return admin_error(403, "read-only", "admin.http_port is for reading; use admin.socket");
    return std::nullopt;
}

std::optional<AdminReply> refuse_peer(const AdminPeer& peer, const AdminRights& rights,
                                      const RequestWords& request,
                                      std::string (*name_of)(std::uint32_t user)) {
    const bool reads = request.method == "GET";
    const bool named = is_among(peer, rights.changers) || (reads && is_among(peer, rights.readers));
    if (peer.user == 0 || peer.user == rights.own_user ||
        (named && !known(peer.user, rights.never)))
        return std::nullopt;
    std::string groups;
    for (const auto group : peer.groups)
        groups += (groups.empty() ? "" : ", ") + std::to_string(group);
    const auto own =
        rights.own_user == 0 ? std::string() : ", " + printable(name_of(rights.own_user), 64);
    const auto readers =
        reads ? ", admin.readers (" + joined(rights.readers.names) + ")" : std::string();
    return admin_error(
        403, "not-permitted",
        fmt::format("you are {} (user {}, groups {}); {} is for root{}{} and admin.changers ({})",
                    printable(name_of(peer.user), 64), peer.user, groups.empty() ? "none" : groups,
                    reads ? "reading" : "changing anything", own, readers,
                    joined(rights.changers.names)));
}

std::optional<AdminReply> refuse_request(const RequestWords& request) {
    const auto path = split_target(request.target).path;
    const auto allowed = allowed_methods(path);
    if (allowed.empty())
        return admin_error(404, "unknown-path",
                           "there is no " + printable(path, 64) +
                               "; there are /, /healthz, /metrics, /v1/status, /v1/destinations, "
                               "/v1/destinations/NEXTHOP, /v1/routes/DOMAIN, "
                               "/v1/deliveries/QUEUEID, /v1/clients, /v1/sockets, /v1/probe "
                               "and /v1/events");
    if (!allows(allowed, request.method))
        return admin_error(405, "bad-method",
                           fmt::format("{} takes {}, found {}", printable(path, 64), allowed,
                                       printable(request.method, 32)));
    return std::nullopt;
}

tl::expected<NextHop, AdminReply> next_hop_of(std::string_view text) {
    auto next_hop = parse_next_hop(text);
    if (next_hop) return *next_hop;
    return tl::make_unexpected(
        admin_error(400, "bad-destination", printable(next_hop.error().message, 512)));
}

Result<Page> parse_page(std::string_view query) {
    Page page{{}, default_page};
    if (query.empty()) return page;
    for (const auto part : split(query, '&')) {
        const auto equals = std::min(part.find('='), part.size());
        const auto name = part.substr(0, equals);
        const auto value = percent_decode(part.substr(std::min(equals + 1, part.size())));
        if (!value) return tl::make_unexpected(value.error());
        if (name == "after") {
            page.after = *value;
        } else if (name == "limit") {
            const auto* end = value->data() + value->size();
            const auto [rest, error] = std::from_chars(value->data(), end, page.limit);
            if (error != std::errc{} || rest != end || page.limit < 1 || page.limit > largest_page)
                return fail(ErrorCode::invalid_input,
                            fmt::format("limit: expected a number from 1 to {}, found \"{}\"",
                                        largest_page, printable(*value, 32)));
        } else {
            return fail(ErrorCode::invalid_input,
                        fmt::format("unknown parameter \"{}\"; expected after or limit",
                                    printable(name, 32)));
        }
    }
    return page;
}

tl::expected<ProbeAsked, AdminReply> parse_probe_asked(std::string_view body) {
    json::parse_options options;
    options.max_depth = max_body_depth;
    json::error_code error;
    const auto value = json::parse({body.data(), body.size()}, error, {}, options);
    if (error) return tl::make_unexpected(bad_body("the body is no JSON"));
    if (!value.is_object()) return tl::make_unexpected(bad_body("the body is no JSON object"));
    const auto& object = value.get_object();
    for (const auto& member : object)
        if (member.key() != "destination" && member.key() != "wait")
            return tl::make_unexpected(
                bad_body("unknown member \"" + printable(member.key(), 32) + "\""));
    const auto* destination = object.if_contains("destination");
    if (destination == nullptr || !destination->is_string())
        return tl::make_unexpected(bad_body("\"destination\" is missing or no string"));
    const auto* wait = object.if_contains("wait");
    if (wait != nullptr && !wait->is_bool())
        return tl::make_unexpected(bad_body("\"wait\" is neither true nor false"));
    const auto next_hop = next_hop_of(destination->get_string());
    if (!next_hop) return tl::make_unexpected(next_hop.error());
    // Blanks and line ends around it are no part of the name.
    return ProbeAsked{*next_hop, std::string(trim(destination->get_string())),
                      wait != nullptr && wait->get_bool()};
}

}  // namespace postfathom
