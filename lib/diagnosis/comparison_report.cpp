// SPDX-License-Identifier: Apache-2.0
// A comparison as JSON and as a table.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>

#include "lib/base/text.hpp"
#include "lib/diagnosis/comparison.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr std::size_t columns = 7;
// With less room than this the diagnosis gets a line of its own.
constexpr std::size_t least_room = 32;
using Cells = std::array<std::string, columns>;

template <typename Path>
std::string size_cell(const Path& path) {
    if (!path.path_mtu || path.path_mtu->bytes == 0) return "-";
    return fmt::format("{}{}", path.exact ? "" : ">=", path.path_mtu->bytes);
}

Cells cells_of(const ComparedEndpoint& row) {
    const auto& found = row.diagnosis;
    return {fmt::format("{}:{}", to_string(row.endpoint.service), row.endpoint.port),
            row.endpoint.address.to_string(),
            row.protocol.empty() ? "-" : printable(row.protocol, 16),
            size_cell(row.inbound),
            size_cell(row.outbound),
            row.handshake_seconds ? fmt::format("{:.2f} s", *row.handshake_seconds) : "-",
            row.open ? brief(found) : fmt::format("closed ({})", to_string(found.id))};
}

json::value text_or_null(const std::string& text) {
    if (text.empty()) return nullptr;
    return json::string(printable(text));
}

template <typename Path>
void put_size(json::object& object, const Path& path, const std::string& name) {
    const bool known = path.path_mtu && path.path_mtu->bytes > 0;
    object[name] = known ? json::value(path.path_mtu->bytes) : json::value(nullptr);
    object[name + "_exact"] = known && path.exact;
}

json::object row_json(const ComparedEndpoint& row) {
    json::object object;
    object["address"] = row.endpoint.address.to_string();
    object["port"] = row.endpoint.port;
    object["service"] = to_string(row.endpoint.service);
    object["open"] = row.open;
    object["protocol"] = text_or_null(row.protocol);
    put_size(object, row.inbound, "inbound");
    put_size(object, row.outbound, "outbound");
    object["handshake_seconds"] = nullptr;
    if (row.handshake_seconds)
        object["handshake_seconds"] = std::round(*row.handshake_seconds * 1000.0) / 1000.0;
    object["certificate"] = text_or_null(row.certificate);
    object["diagnosis"] = to_string(row.diagnosis.id);
    object["severity"] = to_string(row.diagnosis.severity);
    object["brief"] = brief(row.diagnosis);
    return object;
}

std::string table(const Comparison& comparison, bool colour) {
    std::vector<Cells> lines{
        {"SERVICE", "ADDRESS", "TLS", "MTU IN", "MTU OUT", "TIME", "DIAGNOSIS"}};
    for (const auto& row : comparison.endpoints) lines.push_back(cells_of(row));
    std::array<std::size_t, columns> widths{};
    for (const auto& line : lines)
        for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], line[i].size());
    std::string text;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        std::string line;
        for (std::size_t i = 0; i + 1 < columns; ++i)
            line += fmt::format("{:<{}}  ", lines[at][i], widths[i]);
        const bool narrow = line.size() + least_room > layout_width;
        const auto indent = narrow ? 4 : line.size();
        if (narrow) line = line.substr(0, line.find_last_not_of(' ') + 1) + "\n    ";
        const auto last = wrapped(lines[at].back(), indent, indent);
        if (at == 0) {
            text += painted(line + last, Paint::bold, colour) + '\n';
            continue;
        }
        const auto& row = comparison.endpoints[at - 1];
        text += line +
                painted(last, row.open ? paint_of(row.diagnosis.severity) : Paint::plain, colour) +
                '\n';
    }
    return text;
}

// Each kind of fault once, with its sentence.
std::string faults(const Comparison& comparison) {
    std::vector<std::string> told;
    std::string text;
    for (const auto& row : comparison.endpoints) {
        if (!row.open || row.diagnosis.severity <= Severity::notice) continue;
        const auto name = brief(row.diagnosis);
        if (std::find(told.begin(), told.end(), name) != told.end()) continue;
        told.push_back(name);
        text += wrapped(fmt::format("{}: {}", name, printable(row.diagnosis.summary, 1000)), 0, 2) +
                '\n';
    }
    return text;
}

}  // namespace

json::object to_json(const std::string& host, const std::vector<Report>& reports,
                     const Comparison& comparison) {
    json::array rows;
    for (const auto& row : comparison.endpoints) rows.push_back(row_json(row));
    json::array statements;
    for (const auto& statement : comparison.statements)
        statements.push_back({{"id", statement.id}, {"text", statement.text}});
    json::object compared;
    compared["endpoints"] = std::move(rows);
    compared["statements"] = std::move(statements);
    compared["diagnosis"] = to_string(comparison.diagnosis.id);
    compared["severity"] = to_string(comparison.diagnosis.severity);
    json::array whole;
    for (const auto& report : reports) whole.push_back(to_json(report));
    json::object object;
    object["schema"] = report_schema;
    object["host"] = printable(host);
    object["reports"] = std::move(whole);
    object["comparison"] = std::move(compared);
    return object;
}

std::string to_text(const std::string& host, const Comparison& comparison, bool colour) {
    const auto severity = comparison.diagnosis.severity;
    auto text =
        painted(wrapped(fmt::format("{}: {}: {}", printable(host), severity_in_words(severity),
                                    brief(comparison.diagnosis)),
                        0, 2),
                paint_of(severity), colour) +
        "\n\n" + table(comparison, colour) + '\n';
    for (const auto& statement : comparison.statements)
        text += wrapped(printable(statement.text, 1000), 0, 2) + '\n';
    if (const auto found = faults(comparison); !found.empty())
        text +=
            '\n' + found +
            wrapped("`postfathom probe` with that port tells what was seen and what to do.", 0, 2) +
            '\n';
    return text;
}

}  // namespace postfathom
