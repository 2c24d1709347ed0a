// SPDX-License-Identifier: Apache-2.0
#include "lib/doctor/finding.hpp"

#include <algorithm>
#include <boost/json/array.hpp>

#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_words = 2000;
constexpr std::size_t title_columns = 10;  // "critical  "

int rank(Severity severity) {
    switch (severity) {
        case Severity::critical:
            return 0;
        case Severity::warning:
            return 1;
        case Severity::notice:
            return 2;
        case Severity::unknown:
            return 3;
        case Severity::ok:
            return 4;
    }
    return 4;
}

std::vector<Finding> worst_first(std::vector<Finding> findings) {
    std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
        return rank(a.severity) < rank(b.severity);
    });
    return findings;
}

std::string title(Severity severity) {
    std::string word(severity == Severity::unknown ? "unread" : to_string(severity));
    word.resize(title_columns, ' ');
    return word;
}

std::string paragraph(const std::string& text) {
    return std::string(title_columns, ' ') +
           wrapped(printable(text, max_words), title_columns, title_columns) + '\n';
}

}  // namespace

int exit_status(const std::vector<Finding>& findings) {
    Severity worst = Severity::ok;
    bool known = false;
    for (const auto& finding : findings) {
        if (finding.severity == Severity::unknown) continue;
        known = true;
        worst = std::max(worst, finding.severity);
    }
    if (!known) return 3;
    if (worst == Severity::critical) return 2;
    return worst == Severity::warning ? 1 : 0;
}

std::string to_text(const std::vector<Finding>& findings, bool colour) {
    std::string text;
    for (const auto& finding : worst_first(findings)) {
        const auto paint = paint_of(finding.severity);
        text += painted(title(finding.severity), paint, colour) +
                wrapped(printable(finding.what, max_words), title_columns, title_columns) + '\n';
        if (!finding.why.empty()) text += paragraph(finding.why);
        for (const auto& line : finding.mend)
            text += std::string(title_columns + 2, ' ') + printable(line, max_words) + '\n';
        if (finding.severity != Severity::ok) text += '\n';
    }
    return text;
}

boost::json::object to_json(const std::vector<Finding>& findings) {
    boost::json::array list;
    for (const auto& finding : worst_first(findings)) {
        boost::json::array mend;
        for (const auto& line : finding.mend) mend.emplace_back(printable(line, max_words));
        list.push_back(boost::json::object{{"id", finding.id},
                                           {"severity", std::string(to_string(finding.severity))},
                                           {"what", printable(finding.what, max_words)},
                                           {"why", printable(finding.why, max_words)},
                                           {"mend", std::move(mend)}});
    }
    return {{"schema", 1}, {"findings", std::move(list)}};
}

}  // namespace postfathom
