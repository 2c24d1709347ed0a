// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/header.hpp"

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_columns = 78;
constexpr std::size_t max_host_token = 255;
constexpr std::size_t max_next_hop = 300;  // name, brackets, "IPv6:", port

// A token ends at a blank or ';', so it holds neither.
std::string token(std::string_view text, std::size_t limit) {
    auto result = printable(text, limit);
    std::replace_if(result.begin(), result.end(), [](char c) { return c == ' ' || c == ';'; }, '?');
    return result;
}

}  // namespace

std::string diagnosis_header_value(std::string_view host_token, std::string_view next_hop,
                                   const KnownVerdict& verdict) {
    auto value = token(host_token, max_host_token);
    value += "; next-hop=" + token(next_hop, max_next_hop);
    value += "; diagnosis=" + std::string(to_string(verdict.id));
    if (verdict.direction) value += "; direction=" + std::string(to_string(*verdict.direction));
    if (verdict.path_mtu) {
        value += "; path-mtu=" + std::to_string(verdict.path_mtu->bytes);
        if (!verdict.path_mtu_exact) value += "; path-mtu-exact=no";
    }
    if (verdict.usable_mss) value += "; mss=" + std::to_string(verdict.usable_mss->bytes);
    value += "; since=" + to_rfc3339(verdict.since);
    if (value.size() > max_diagnosis_header_value) value.resize(max_diagnosis_header_value);
    return value;
}

std::string_view host_token_of(std::string_view header_value) {
    return trim(header_value.substr(0, header_value.find(';')));
}

std::string fold_diagnosis_header(std::string_view value) {
    std::string folded;
    auto column = diagnosis_header_name.size() + 2;
    while (!value.empty()) {
        const auto end = value.find("; ");
        const auto part = value.substr(0, end == value.npos ? end : end + 1);
        const bool fits = column + 1 + part.size() <= max_columns;
        if (!folded.empty()) {
            folded += fits ? " " : "\n\t";
            column = fits ? column + 1 : 8;  // a tab ends at column 8
        }
        folded += part;
        column += part.size();
        value.remove_prefix(end == value.npos ? value.size() : end + 2);
    }
    return folded;
}

}  // namespace postfathom
