// SPDX-License-Identifier: Apache-2.0
// Which entries of Postfix's configuration are Postfathom's.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "lib/postfix/configuration.hpp"

namespace postfathom {

// Where our own configuration puts things.
struct OwnPlaces {
    std::string policy_socket;
    std::string policy_listen;  // "127.0.0.1:10040"; empty: none
    std::string dsn_socket;
    std::string tables_socket;  // empty: none
    std::string milter_socket;
    std::string log_file;  // empty: the journal
};

// Where check_policy_service may stand.
inline constexpr std::array<const char*, 8> restriction_lists{
    "smtpd_client_restrictions",      "smtpd_helo_restrictions",      "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",       "smtpd_recipient_restrictions", "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"};

// Whether `unix:PATH` or `inet:HOST:PORT` of Postfix is a socket of ours; one that is not where it
// would be found counts too, by its name.
bool is_own_endpoint(const std::string& queue_directory, std::string_view endpoint,
                     const std::string& socket);
bool is_own_policy(const std::string& queue_directory, std::string_view endpoint,
                   const OwnPlaces& own);

// "unix:run/postfathom/dsn.sock" of "socketmap:unix:run/postfathom/dsn.sock:dsn"; "" for a table of
// another type.
std::string socketmap_endpoint(std::string_view table);

}  // namespace postfathom
