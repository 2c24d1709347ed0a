// SPDX-License-Identifier: Apache-2.0
// What a request on the admin query socket asks, and whether it may: target, query, body. Pure;
// admin_server.cpp knows HTTP, admin_answers.cpp the answers.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {

inline constexpr std::size_t max_header_bytes = 8 * 1024;
// Beast counts the request line apart when it comes with the rest, and together when it comes in
// pieces (basic_parser.ipp): below its own limit both are read, and then we count.
inline constexpr std::size_t beast_header_limit = 2 * max_header_bytes;
inline constexpr std::size_t max_body_bytes = 64 * 1024;

struct AdminReply {
    unsigned status = 200;
    boost::json::object body;
};

// {"error": {"code": "...", "message": "..."}}
AdminReply admin_error(unsigned status, std::string_view code, std::string_view message);

// On the UNIX socket the process at the other end says who may what; on the loopback port everybody
// may read, and nobody more.
enum class Door { unix_socket, loopback_port };

// user_namespaces(7): what the kernel says in the place of a user or group that has no number here.
inline constexpr std::uint32_t unknown_account = 65534;

struct AdminPeer {
    std::uint32_t user = unknown_account;
    std::vector<std::uint32_t> groups;  // all of them
};

// Users and groups of admin.readers or admin.changers.
struct AccountList {
    bool all = false;
    std::vector<std::uint32_t> users;
    std::vector<std::uint32_t> groups;
    std::vector<std::string> names;  // as they are configured, for messages
    bool operator==(const AccountList&) const = default;
};

struct AdminRights {
    std::uint32_t own_user = 0;  // the daemon's
    AccountList readers;
    AccountList changers;  // who may read as well
    // Of the other daemons, which are in the group for the sake of the cache: what talks to
    // strangers shall not tell us where to connect.
    std::vector<std::uint32_t> never{};
};

// Of a request, as it came.
struct RequestWords {
    std::string_view method;
    std::string_view target;
    std::string_view host;
};
// GET reads, all else changes something: a probe is a visit to somebody's server. `name_of` gives a
// user's name, for the message.
std::optional<AdminReply> refuse_peer(const AdminPeer& peer, const AdminRights& rights,
                                      const RequestWords& request,
                                      std::string (*name_of)(std::uint32_t user));
std::optional<AdminReply> refuse_at(Door door, const RequestWords& request);
// There is no such path, or it does not take the method.
std::optional<AdminReply> refuse_request(const RequestWords& request);

inline constexpr std::string_view destination_prefix = "/v1/destinations/";
inline constexpr std::string_view route_prefix = "/v1/routes/";
inline constexpr std::string_view delivery_prefix = "/v1/deliveries/";

// Parts of a request's target: "/v1/destinations/x?limit=2".
struct Target {
    std::string_view path;
    std::string_view query;
};
Target split_target(std::string_view target);

// `query` is what follows '?': after=KEY&limit=N.
struct Page {
    std::string after;
    std::size_t limit = 0;
};
Result<Page> parse_page(std::string_view query);

// RFC 3986 section 2.1. invalid_input for a '%' without two hexadecimal digits.
Result<std::string> percent_decode(std::string_view text);

// A next hop that somebody named; the reply says what is wrong with it.
tl::expected<NextHop, AdminReply> next_hop_of(std::string_view text);

struct ProbeAsked {
    NextHop next_hop;
    std::string verbatim;
    bool wait = false;
};
// Body of POST /v1/probe; the reply says what is wrong with it.
tl::expected<ProbeAsked, AdminReply> parse_probe_asked(std::string_view body);

}  // namespace postfathom
