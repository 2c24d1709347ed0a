// SPDX-License-Identifier: Apache-2.0
// A change that a person may apply, as a value: a report holds them, lib/suggestion makes them.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// The kinds of change, as in JSON.
enum class SuggestionKind {
    tunnel_mtu,          // "tunnel-mtu"
    container_mtu,       // "container-mtu"
    let_icmp_through,    // "let-icmp-through"
    route_mtu,           // "route-mtu"
    route_advmss,        // "route-advmss"
    host_clamp,          // "mss-clamp-host"
    mss_clamp_nft,       // "mss-clamp-nft"
    mss_clamp_iptables,  // "mss-clamp-iptables"
    bind_address,        // "bind-address"
    address_family,      // "address-family"
    tcp_mtu_probing,     // "tcp-mtu-probing"
    no_pipelining,       // "no-pipelining"
    session_cache,       // "tls-session-cache"
    patient_transport,   // "transport-of-its-own"
    tls_policy,          // "tls-policy"
    own_server,          // "own-server"
    letter,              // "letter"
};
std::string_view to_string(SuggestionKind kind);
std::optional<SuggestionKind> parse_suggestion_kind(std::string_view text);
const std::vector<SuggestionKind>& all_suggestion_kinds();

// What `commands` are.
enum class SuggestionForm {
    shell,         // "shell": for this host, as root
    other_shell,   // "other-shell": for another machine, which `scope` names
    postfix_line,  // "postfix-line": lines of a table, which `table` names
    letter,        // "letter": lines of a text for the operator of the server
};
std::string_view to_string(SuggestionForm form);
std::optional<SuggestionForm> parse_suggestion_form(std::string_view text);

// Lines of a file that no command writes.
struct FileLines {
    std::string file;  // a path, or what the file is for: "transport_maps", "compose.yaml"
    std::vector<std::string> lines;
    bool needed = false;  // without them it does not work; else they keep it over a restart
    bool operator==(const FileLines&) const = default;
};

struct Suggestion {
    SuggestionKind kind = SuggestionKind::route_mtu;
    SuggestionForm form = SuggestionForm::shell;
    std::string scope;  // "this host, this destination"
    std::string why;
    std::string table;                  // of a postfix_line: the parameter that names its table
    std::vector<std::string> commands;  // complete lines, in order
    std::vector<FileLines> files;
    std::string expected;  // what is seen when it worked
    std::vector<std::string> verify;
    std::vector<std::string> undo;  // complete lines, in order
    std::string risk;
    bool proven = false;   // a counter-probe under the same limit succeeded
    std::string proof;     // its numbers, or what is not proven
    TlsFloor tls_floor{};  // the level in force; nothing here goes below it
    bool operator==(const Suggestion&) const = default;
};

boost::json::object to_json(const Suggestion& suggestion);
// Of this or another version of Postfathom: what is not there is empty. Nothing when there are no
// commands, a kind or form is not known, or a line has bytes that are not printable.
std::optional<Suggestion> parse_suggestion(const boost::json::value& value);

// For a terminal, with its number in the list.
std::string to_text(const Suggestion& suggestion, std::size_t number, bool colour);

}  // namespace postfathom
