// SPDX-License-Identifier: Apache-2.0
#include "lib/doctor/links.hpp"

#include <boost/json/parse.hpp>
#include <charconv>

#include "lib/base/json_value.hpp"
#include "lib/base/text.hpp"
#include "lib/doctor/tool_output.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

constexpr std::size_t max_link_depth = 16;

std::string name_text(const json::value& value) {
    const auto* found = value.if_string();
    return found != nullptr ? printable({found->data(), found->size()}, 64) : "";
}

std::uint32_t number(std::string_view digits) {
    std::uint32_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}

bool has_flag(const json::value& link, std::string_view wanted) {
    const auto* flags = member(link, "flags").if_array();
    if (flags == nullptr) return false;
    for (const auto& flag : *flags)
        if (name_text(flag) == wanted) return true;
    return false;
}

std::optional<IpFamily> outer_family(const json::value& link, const std::string& kind) {
    if (kind == "gre" || kind == "gretap" || kind == "ipip" || kind == "sit") return IpFamily::v4;
    if (kind == "ip6gre" || kind == "ip6gretap" || kind == "ip6tnl") return IpFamily::v6;
    const auto& data = member(member(link, "linkinfo"), "info_data");
    const auto remote = name_text(member(data, "remote"));
    if (!name_text(member(data, "remote6")).empty()) return IpFamily::v6;
    if (remote.empty()) return std::nullopt;
    return remote.find(':') == std::string::npos ? IpFamily::v4 : IpFamily::v6;
}

Interface read_link(const json::value& link) {
    Interface found;
    found.name = name_text(member(link, "ifname"));
    found.kind = name_text(member(member(link, "linkinfo"), "info_kind"));
    found.bridge = name_text(member(link, "master"));
    if (const auto* mtu = member(link, "mtu").if_int64(); mtu != nullptr && *mtu > 0)
        found.mtu = static_cast<std::uint32_t>(std::min<std::int64_t>(*mtu, 1 << 20));
    found.up = has_flag(link, "UP");
    found.loopback = has_flag(link, "LOOPBACK");
    found.outer = outer_family(link, found.kind);
    return found;
}

bool is_type(std::string_view word) {
    for (const auto* type : {"local", "broadcast", "multicast", "anycast", "unreachable",
                             "blackhole", "prohibit", "throw", "nat"})
        if (word == type) return true;
    return false;
}

}  // namespace

Result<std::vector<Interface>> parse_links(std::string_view printed) {
    json::parse_options options;
    options.max_depth = max_link_depth;
    json::error_code error;
    const auto value = json::parse({printed.data(), printed.size()}, error, {}, options);
    const auto* links = value.if_array();
    if (error || links == nullptr)
        return fail(ErrorCode::invalid_input, "ip -json link show: no list of links");
    std::vector<Interface> found;
    for (const auto& link : *links) found.push_back(read_link(link));
    return found;
}

std::vector<KernelRoute> parse_routes(std::string_view printed) {
    std::vector<KernelRoute> routes;
    for (const auto line : split(printed, '\n')) {
        const auto words = words_of(line);
        if (words.empty() || is_type(words.front())) continue;
        KernelRoute route;
        route.destination = printable(words.front(), 64);
        for (std::size_t i = 1; i < words.size(); ++i) {
            const auto next = i + 1 < words.size() ? words[i + 1] : std::string_view{};
            if (words[i] == "dev" && route.interface.empty()) route.interface = printable(next, 64);
            if (words[i] == "table") route.table = printable(next, 64);
            if (words[i] == "cache") route.learned = true;
            if (words[i] != "mtu") continue;
            route.mtu_locked = next == "lock";
            route.mtu = number(route.mtu_locked && i + 2 < words.size() ? words[i + 2] : next);
        }
        if (route.table != "local") routes.push_back(std::move(route));
    }
    return routes;
}

}  // namespace postfathom
