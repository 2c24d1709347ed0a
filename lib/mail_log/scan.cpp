// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/scan.hpp"

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_host = 255;
constexpr std::size_t max_stamp = 40;      // RFC 3339 with nanoseconds has 35
constexpr std::size_t max_address = 64;    // "IPv6:" and the longest IPv6 text
constexpr std::size_t max_queue_id = 100;  // long queue ids have less than 30 characters

bool digit(char c) { return c >= '0' && c <= '9'; }

// What cannot be in a host name as Postfix prints it. Names may be UTF-8 (SMTPUTF8).
bool ends_host(char c) {
    return static_cast<unsigned char>(c) <= ' ' ||
           std::string_view("[]<>(),;=\"\x7f").find(c) != std::string_view::npos;
}

// "Nov 23 01:11:21 " or "2026-11-23T01:11:21.123456+00:00 ".
bool take_time(std::string_view& line) {
    if (line.empty()) return false;
    if (digit(line.front())) {
        const auto stamp = take_until(line, " ");
        return stamp && stamp->size() >= 19 && stamp->size() <= max_stamp && (*stamp)[4] == '-' &&
               (*stamp)[7] == '-' && ((*stamp)[10] == 'T' || (*stamp)[10] == 't');
    }
    constexpr std::string_view shape = "Mmm dd hh:mm:ss ";
    if (line.size() < shape.size()) return false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const bool separator = shape[i] == ' ' || shape[i] == ':';
        if (separator && line[i] != shape[i]) return false;
        if (!separator && i > 5 && !digit(line[i])) return false;
    }
    line.remove_prefix(shape.size());
    return true;
}

}  // namespace

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

std::optional<std::string_view> take_until(std::string_view& text, std::string_view separator) {
    const auto end = text.find(separator);
    if (end == text.npos) return std::nullopt;
    const auto piece = text.substr(0, end);
    text.remove_prefix(end + separator.size());
    return piece;
}

std::optional<LoggedPeer> take_address(std::string_view host, std::string_view& text) {
    if (host.size() > max_host) return std::nullopt;
    auto rest = text;
    if (!take(rest, "[")) return std::nullopt;
    const auto inner = take_until(rest, "]");
    if (!inner || inner->size() > max_address) return std::nullopt;
    const auto address = IpAddress::parse(*inner);
    if (!address) return std::nullopt;
    // As the cache stores it: a name that is no ASCII would be another one there.
    LoggedPeer peer{printable(host, max_host), *address, std::nullopt};
    if (auto after = rest; take(after, ":") && !after.empty() && digit(after.front())) {
        const auto port = take_number<std::uint16_t>(after);
        if (!port || *port == 0) return std::nullopt;
        peer.port = port;
        rest = after;
    }
    text = rest;
    return peer;
}

std::optional<LoggedPeer> take_peer(std::string_view& text) {
    const auto end = std::find_if(text.begin(), text.end(), ends_host);
    const auto length = static_cast<std::size_t>(end - text.begin());
    if (length == 0) return std::nullopt;
    auto rest = text.substr(length);
    const auto peer = take_address(text.substr(0, length), rest);
    if (peer) text = rest;
    return peer;
}

std::optional<LoggedPeer> find_peer(std::string_view text) {
    for (auto bracket = text.find('['); bracket != text.npos;
         bracket = text.find('[', bracket + 1)) {
        auto begin = bracket;
        while (begin > 0 && !ends_host(text[begin - 1])) --begin;
        if (begin == bracket) continue;
        auto rest = text.substr(bracket);
        if (auto peer = take_address(text.substr(begin, bracket - begin), rest)) return peer;
    }
    return std::nullopt;
}

bool is_queue_id(std::string_view text) {
    if (text.size() < 5 || text.size() > max_queue_id) return false;
    const auto all_in = [&](std::string_view set) {
        return text.find_first_not_of(set) == text.npos;
    };
    return all_in("0123456789ABCDEF") ||
           all_in("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz");
}

std::string take_queue_id(std::string_view& text) {
    auto rest = text;
    const auto id = take_until(rest, ": ");
    if (!id || !is_queue_id(*id)) return "";
    text = rest;
    return std::string(*id);
}

std::optional<LineHead> take_head(std::string_view& line) {
    auto rest = line;
    if (!take_time(rest)) return std::nullopt;
    LineHead head;
    head.stamp = trim(line.substr(0, line.size() - rest.size()));
    const auto host = take_until(rest, " ");
    if (!host || host->empty() || host->size() > max_host) return std::nullopt;
    // A log of Dovecot's own has no host: "Nov 23 01:11:21 imap-login: Info: ...".
    if (host->ends_with(':')) {
        head.program = host->substr(0, host->size() - 1);
        line = rest;
        return head;
    }
    head.host = *host;
    // "TAG[PID]: ", or "TAG: " as some programs write it.
    const auto end = rest.find_first_of("[: ");
    if (end == rest.npos || end == 0) return std::nullopt;
    auto tag = rest.substr(0, end);
    rest.remove_prefix(end);
    if (take(rest, "[")) {
        const auto pid = take_number<std::uint32_t>(rest);
        if (!pid || *pid == 0 || !take(rest, "]")) return std::nullopt;
        head.pid = *pid;
    }
    if (!take(rest, ": ")) return std::nullopt;
    head.program = tag.substr(tag.rfind('/') + 1);
    line = rest;
    return head;
}

}  // namespace postfathom
