// SPDX-License-Identifier: Apache-2.0
// One line and an exit status for Nagios, Icinga and their like, as the Monitoring Plugins
// Development Guidelines have it. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/diagnosis/diagnosis.hpp"

namespace postfathom {

// "10": alert below 0 and above 10; "10:" below 10; "~:10" above 10; "10:20" outside; "@10:20"
// inside.
class AlertRange {
  public:
    static Result<AlertRange> parse(std::string_view text);
    bool alerts(double value) const;
    const std::string& text() const { return text_; }

  private:
    double low_ = 0;
    double high_ = 0;
    bool inside_ = false;
    std::string text_;
};

struct CheckFacts {
    std::string destination;
    Severity severity = Severity::unknown;
    std::string summary;
    std::optional<double> handshake{};       // seconds, the slowest server's
    std::optional<std::uint32_t> inbound{};  // bytes, the smallest
    std::optional<std::uint32_t> outbound{};
    std::optional<std::chrono::seconds> age{};  // of what is known; nothing: measured now
    bool expired = false;
};

// Of a report (schema 1), for the sizes and times.
void take_measures(const boost::json::value& report, CheckFacts& facts);

struct CheckLine {
    int status = 3;
    std::string text;
};
// The ranges are for the seconds that a handshake takes.
CheckLine check_line(const CheckFacts& facts, const std::optional<AlertRange>& warning,
                     const std::optional<AlertRange>& critical);
CheckLine could_not_check(std::string_view why);

// The same for a program: docs/json.md.
boost::json::object to_json(const CheckLine& line, const CheckFacts& facts);

}  // namespace postfathom
