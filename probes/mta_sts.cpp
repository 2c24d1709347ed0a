// SPDX-License-Identifier: Apache-2.0
#include "probes/mta_sts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "lib/base/text.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {
namespace {

constexpr std::string_view version_field = "v=STSv1";
constexpr std::size_t max_id_bytes = 32;
constexpr std::int64_t longest_age = 31'557'600;  // seconds; section 3.2

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// parse_next_hop() knows what a host name is; what else it takes (ports, brackets, addresses, '_')
// has no place here.
bool is_host_name(std::string_view name) {
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return is_alphanumeric(c) || c == '-' || c == '.';
    });
    if (!plain || name.empty() || name.back() == '.') return false;
    const auto parsed = parse_next_hop(name);
    return parsed && !parsed->literal && !parsed->port && parsed->mx_lookup;
}

bool is_mx_pattern(std::string_view pattern) {
    if (pattern.starts_with("*.")) pattern.remove_prefix(2);
    return is_host_name(pattern);
}

tl::unexpected<Error> refused(std::string what) {
    return fail(ErrorCode::invalid_input, "MTA-STS policy: " + std::move(what));
}

std::optional<MtaStsPolicy::Mode> mode_of(std::string_view word) {
    if (word == "enforce") return MtaStsPolicy::Mode::enforce;
    if (word == "testing") return MtaStsPolicy::Mode::testing;
    if (word == "none") return MtaStsPolicy::Mode::none;
    return std::nullopt;
}

// Fields as they come; the first of a kind counts, but for `mx` (section 3.2).
struct Fields {
    std::optional<std::string_view> version, mode, max_age;
    std::vector<std::string_view> mx;

    void take(std::string_view key, std::string_view value) {
        const auto first = [value](std::optional<std::string_view>& field) {
            if (!field) field = value;
        };
        if (key == "version") first(version);
        if (key == "mode") first(mode);
        if (key == "max_age") first(max_age);
        if (key == "mx") mx.push_back(value);
    }
};

Fields fields_of(std::string_view text) {
    Fields fields;
    for (auto line : split(text, '\n')) {
        line = trim(line);
        const auto colon = line.find(':');
        if (colon == line.npos) continue;  // unknown lines are passed over
        fields.take(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
    }
    return fields;
}

}  // namespace

std::optional<std::string> text_of_txt(std::string_view rdata) {
    std::string text;
    if (rdata.empty()) return std::nullopt;
    while (!rdata.empty()) {
        const std::size_t length = static_cast<unsigned char>(rdata.front());
        rdata.remove_prefix(1);
        if (length > rdata.size()) return std::nullopt;
        text += rdata.substr(0, length);
        rdata.remove_prefix(length);
    }
    return text;
}

std::optional<std::string> mta_sts_id(const std::vector<std::string>& texts) {
    std::optional<std::string_view> record;
    for (const std::string_view text : texts) {
        if (!text.starts_with(version_field)) continue;
        const auto rest = trim(text.substr(version_field.size()));
        if (!rest.starts_with(';')) continue;
        if (record) return std::nullopt;
        record = text;
    }
    if (!record) return std::nullopt;
    for (auto field : split(*record, ';')) {
        field = trim(field);
        if (!field.starts_with("id=")) continue;
        const auto id = field.substr(3);
        if (id.empty() || id.size() > max_id_bytes ||
            !std::all_of(id.begin(), id.end(), is_alphanumeric))
            return std::nullopt;
        return std::string(id);
    }
    return std::nullopt;
}

Result<MtaStsPolicy> parse_mta_sts_policy(std::string_view text) {
    if (text.size() > max_mta_sts_bytes)
        return refused(
            fmt::format("expected at most {} bytes, found {}", max_mta_sts_bytes, text.size()));
    const auto fields = fields_of(text);
    if (fields.version != "STSv1") return refused("expected \"version: STSv1\"");
    const auto mode = mode_of(fields.mode.value_or(""));
    if (!mode) return refused("expected a mode of enforce, testing or none");
    MtaStsPolicy policy;
    policy.mode = *mode;
    std::int64_t age = 0;
    const auto digits = fields.max_age.value_or("");
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), age);
    if (error != std::errc{} || end != digits.data() + digits.size() || age < 0)
        return refused("expected a max_age in seconds");
    policy.max_age = std::chrono::seconds{std::min(age, longest_age)};
    if (fields.mx.size() > max_mta_sts_names)
        return refused(fmt::format("expected at most {} names, found {}", max_mta_sts_names,
                                   fields.mx.size()));
    for (const auto name : fields.mx) {
        if (!is_mx_pattern(name))
            return refused(
                fmt::format("expected a host name as mx, found \"{}\"", printable(name, 64)));
        policy.mx.push_back(to_lower(name));
    }
    if (policy.mx.empty() && policy.mode != MtaStsPolicy::Mode::none)
        return refused("expected an mx");
    return policy;
}

}  // namespace postfathom
