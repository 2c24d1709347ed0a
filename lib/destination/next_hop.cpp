// SPDX-License-Identifier: Apache-2.0
#include "lib/destination/next_hop.hpp"

#include <algorithm>
#include <charconv>

#include "lib/base/text.hpp"
#include "lib/destination/endpoint.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_name_bytes = 253;  // RFC 1035 section 2.3.4, without the root
constexpr std::size_t max_label_bytes = 63;
constexpr std::size_t max_text_bytes = 512;
constexpr std::size_t max_next_hops = 20;

tl::unexpected<Error> refuse(std::string_view text, std::string_view expected) {
    const bool ascii =
        std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
    // RFC 5890 section 2.3.2.1: the DNS has such names in their ASCII form alone.
    const auto* remedy = ascii ? "" : "; write a name of other letters as \"xn--...\"";
    return fail(ErrorCode::invalid_input, "next hop: expected " + std::string(expected) +
                                              ", found \"" + printable(text, 64) + '"' + remedy);
}

bool name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool valid_name(std::string_view name) {
    if (name.empty() || name.size() > max_name_bytes) return false;
    const auto labels = split(name, '.');
    return std::all_of(labels.begin(), labels.end(), [](std::string_view label) {
        return !label.empty() && label.size() <= max_label_bytes &&
               std::all_of(label.begin(), label.end(), name_byte);
    });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    if (text == "submissions") return default_port(Service::smtps);  // RFC 8314's name of it
    if (const auto service = parse_service(text)) return default_port(*service);
    std::uint16_t port = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
    return port;
}

std::optional<IpAddress> parse_literal(std::string_view text) {
    constexpr std::string_view v6_tag = "IPv6:";  // RFC 5321 section 4.1.3
    if (istarts_with(text, v6_tag)) {
        text.remove_prefix(v6_tag.size());
        if (text.find(':') == std::string_view::npos) return std::nullopt;  // "IPv6:192.0.2.1"
    }
    return IpAddress::parse(text);
}

NextHop literal_hop(const IpAddress& address) {
    return {address.to_string(), false, address, std::nullopt};
}

// What stands before the port: a name, or an address.
Result<NextHop> parse_host(std::string_view host, bool bracketed, std::string_view whole) {
    if (const auto address = parse_literal(host)) return literal_hop(*address);
    auto name = to_lower(host);
    if (!name.empty() && name.back() == '.') name.pop_back();
    // "192.0.2.1." is neither: without its dot it would mean the address.
    if (!valid_name(name) || IpAddress::parse(name))
        return refuse(whole, "a domain, a [host] or an [address]");
    return NextHop{std::move(name), !bracketed, std::nullopt, std::nullopt};
}

}  // namespace

Result<NextHop> parse_next_hop(std::string_view text) {
    const auto whole = text = trim(text);
    if (text.size() > max_text_bytes) return refuse(text, "at most 512 bytes");
    // 2001:db8::1 without brackets, as a person types it, has colons of its own.
    if (const auto address = parse_literal(text)) return literal_hop(*address);

    const bool bracketed = !text.empty() && text.front() == '[';
    std::string_view host = text;
    std::string_view rest;
    if (bracketed) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) return refuse(whole, "a closing ']'");
        host = text.substr(1, close - 1);
        rest = text.substr(close + 1);
    } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
        host = text.substr(0, colon);
        rest = text.substr(colon);
    }
    auto next_hop = parse_host(host, bracketed, whole);
    if (!next_hop || rest.empty()) return next_hop;
    const auto port = rest.front() == ':' ? parse_port(rest.substr(1)) : std::nullopt;
    if (!port)
        return refuse(whole, "a port from 1 to 65535 or a service such as submission behind ':'");
    next_hop->port = port;
    return next_hop;
}

std::string to_string(const NextHop& next_hop) {
    std::string text = next_hop.host;
    if (next_hop.literal && next_hop.literal->family() == IpFamily::v6) text = "IPv6:" + text;
    if (next_hop.literal || !next_hop.mx_lookup) text = '[' + text + ']';
    if (next_hop.port && *next_hop.port != default_port(Service::smtp))
        text += ':' + std::to_string(*next_hop.port);
    return text;
}

std::vector<NextHop> parse_next_hops(std::string_view text) {
    std::vector<NextHop> found;
    while (found.size() < max_next_hops) {
        constexpr std::string_view separators = ", \t\r\n";
        const auto start = text.find_first_not_of(separators);
        if (start == std::string_view::npos) break;
        const auto end = std::min(text.find_first_of(separators, start), text.size());
        if (auto next_hop = parse_next_hop(text.substr(start, end - start)))
            found.push_back(std::move(*next_hop));
        text.remove_prefix(end);
    }
    return found;
}

std::string domain_of_recipient(std::string_view recipient) {
    recipient = trim(recipient);
    if (!recipient.empty() && recipient.front() == '<') recipient.remove_prefix(1);
    if (!recipient.empty() && recipient.back() == '>') recipient.remove_suffix(1);
    const auto at = recipient.rfind('@');
    if (at == std::string_view::npos) return {};
    const auto domain = to_lower(recipient.substr(at + 1));
    const auto parsed = parse_next_hop(domain);
    if (!parsed || parsed->port) return {};
    return parsed->literal || !parsed->mx_lookup ? domain : parsed->host;
}

}  // namespace postfathom
