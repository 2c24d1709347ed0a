// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/check_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <limits>

#include "lib/base/json_value.hpp"
#include "lib/base/text.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 4> status_words{"OK", "WARNING", "CRITICAL", "UNKNOWN"};
constexpr double endless = std::numeric_limits<double>::infinity();
constexpr std::size_t max_line = 1024;

std::optional<double> number_of(std::string_view text) {
    double number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
    return number;
}

template <typename Number>
std::optional<Number> measure(const json::value& object, std::string_view pointer) {
    const auto* value = at(object, pointer);
    if (value == nullptr || !value->is_number()) return std::nullopt;
    json::error_code error;
    const auto number = value->to_number<Number>(error);
    if (error) return std::nullopt;
    return number;
}

// '|' begins the performance data, and a line ends the text that is shown.
std::string one_line(std::string_view text) {
    auto line = printable(text, max_line);
    std::replace(line.begin(), line.end(), '|', '/');
    return line;
}

int status_of(Severity severity) {
    if (severity == Severity::critical) return 2;
    if (severity == Severity::warning) return 1;
    return severity == Severity::unknown ? 3 : 0;
}

}  // namespace

Result<AlertRange> AlertRange::parse(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid_input,
                    fmt::format("found \"{}\", expected a range in seconds such as 2, 0.5:5 or "
                                "@1:2",
                                printable(text, 64)));
    };
    AlertRange range;
    range.text_ = text;
    auto rest = text;
    if (rest.starts_with('@')) {
        range.inside_ = true;
        rest.remove_prefix(1);
    }
    const auto colon = rest.find(':');
    const auto high = colon == rest.npos ? rest : rest.substr(colon + 1);
    if (colon != rest.npos) {
        const auto low = rest.substr(0, colon);
        const auto number = low == "~" ? -endless : number_of(low);
        if (!number) return bad();
        range.low_ = *number;
    }
    const auto number = high.empty() && colon != rest.npos ? endless : number_of(high);
    if (!number || !(range.low_ <= *number)) return bad();
    range.high_ = *number;
    return range;
}

bool AlertRange::alerts(double value) const {
    const bool inside = value >= low_ && value <= high_;
    return inside == inside_;
}

void take_measures(const json::value& report, CheckFacts& facts) {
    const auto* endpoints = at(report, "/endpoints");
    if (endpoints == nullptr || !endpoints->is_array()) return;
    const auto smaller = [](auto& least, const auto& found) {
        if (found && (!least || *found < *least)) least = found;
    };
    for (const auto& endpoint : endpoints->get_array()) {
        const auto handshake = measure<double>(endpoint, "/timings/handshake");
        if (handshake && (!facts.handshake || *handshake > *facts.handshake))
            facts.handshake = handshake;
        smaller(facts.inbound, measure<std::uint32_t>(endpoint, "/path_mtu/inbound"));
        smaller(facts.outbound, measure<std::uint32_t>(endpoint, "/path_mtu/outbound"));
    }
}

CheckLine check_line(const CheckFacts& facts, const std::optional<AlertRange>& warning,
                     const std::optional<AlertRange>& critical) {
    auto status = facts.expired ? 3 : status_of(facts.severity);
    auto what = facts.summary;
    if (facts.expired) what += " once, and nothing newer is known";
    if (status == 0 && facts.handshake) {
        if (critical && critical->alerts(*facts.handshake))
            status = 2;
        else if (warning && warning->alerts(*facts.handshake))
            status = 1;
        if (status != 0) what += fmt::format(", the handshake takes {:.3g} s", *facts.handshake);
    }
    std::string data;
    if (facts.handshake)
        data += fmt::format(" handshake={:.6g}s;{};{};0;", *facts.handshake,
                            warning ? warning->text() : "", critical ? critical->text() : "");
    if (facts.inbound) data += fmt::format(" path_mtu_inbound={}B;;;0;", *facts.inbound);
    if (facts.outbound) data += fmt::format(" path_mtu_outbound={}B;;;0;", *facts.outbound);
    if (facts.age)
        data += fmt::format(" age={}s;;;0;", std::max<std::int64_t>(facts.age->count(), 0));
    return {status, fmt::format("POSTFATHOM {} - {}: {}{}{}",
                                status_words.at(static_cast<std::size_t>(status)),
                                one_line(facts.destination), one_line(what),
                                data.empty() ? "" : "|", data.empty() ? "" : data.substr(1))};
}

CheckLine could_not_check(std::string_view why) {
    return {3, "POSTFATHOM UNKNOWN - " + one_line(why)};
}

json::object to_json(const CheckLine& line, const CheckFacts& facts) {
    const auto or_null = [](const auto& known) -> json::value {
        if (!known) return nullptr;
        return *known;
    };
    json::object object;
    object["destination"] = printable(facts.destination);
    object["status"] = to_lower(status_words.at(static_cast<std::size_t>(line.status)));
    object["exit_status"] = line.status;
    object["line"] = line.text;
    object["handshake"] = or_null(facts.handshake);
    object["path_mtu_inbound"] = or_null(facts.inbound);
    object["path_mtu_outbound"] = or_null(facts.outbound);
    object["age"] = nullptr;
    if (facts.age) object["age"] = facts.age->count();
    return object;
}

}  // namespace postfathom
