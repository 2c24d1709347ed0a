// SPDX-License-Identifier: Apache-2.0
#include "probes/mx_record.hpp"

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_name_bytes = 255;  // RFC 1035 section 2.3.4
constexpr std::size_t max_label_bytes = 63;

bool host_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

}  // namespace

std::optional<MxRecord> parse_mx(std::string_view rdata) {
    if (rdata.size() < 3 || rdata.size() > 2 + max_name_bytes) return std::nullopt;
    MxRecord record;
    record.preference = static_cast<std::uint16_t>((static_cast<unsigned char>(rdata[0]) << 8) |
                                                   static_cast<unsigned char>(rdata[1]));
    rdata.remove_prefix(2);
    std::string name;
    for (;;) {
        if (rdata.empty()) return std::nullopt;
        const std::size_t length = static_cast<unsigned char>(rdata.front());
        rdata.remove_prefix(1);
        if (length == 0) break;
        if (length > max_label_bytes || length > rdata.size()) return std::nullopt;
        const auto label = rdata.substr(0, length);
        if (!std::all_of(label.begin(), label.end(), host_name_byte)) return std::nullopt;
        if (!name.empty()) name += '.';
        name += label;
        rdata.remove_prefix(length);
    }
    if (!rdata.empty()) return std::nullopt;
    record.exchange = to_lower(name);
    return record;
}

void sort_mx(std::vector<MxRecord>& records) {
    std::sort(records.begin(), records.end());
    std::vector<MxRecord> once;
    for (auto& record : records) {
        const bool known = std::any_of(once.begin(), once.end(), [&](const MxRecord& other) {
            return other.exchange == record.exchange;
        });
        if (!known) once.push_back(std::move(record));
    }
    records = std::move(once);
}

bool null_mx(const std::vector<MxRecord>& records) {
    return records.size() == 1 && records.front().exchange.empty();
}

}  // namespace postfathom
