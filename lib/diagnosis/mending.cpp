// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/mending.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>

#include "lib/base/json_value.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

// A tail loss probe (RFC 8985 section 7) or two is daily life on any path.
constexpr std::uint64_t harmless_retransmits = 2;

std::string text_at(const json::value& value, std::string_view pointer) {
    const auto* found = at(value, pointer);
    const auto* text = found != nullptr ? found->if_string() : nullptr;
    return text != nullptr ? printable({text->data(), text->size()}) : "";
}

bool flag_at(const json::value& value, std::string_view pointer) {
    const auto* found = at(value, pointer);
    return found != nullptr && found->is_bool() && found->get_bool();
}

std::optional<std::uint64_t> number_at(const json::value& value, std::string_view pointer) {
    const auto* found = at(value, pointer);
    if (found == nullptr || !found->is_number()) return std::nullopt;
    json::error_code error;
    const auto number = found->to_number<std::uint64_t>(error);
    if (error) return std::nullopt;
    return number;
}

const json::array& array_at(const json::value& value, std::string_view pointer) {
    static const json::array none;
    const auto* found = at(value, pointer);
    return found != nullptr && found->is_array() ? found->get_array() : none;
}

// What one report says of one item; `good`: as it has to be.
struct Side {
    std::string words;
    std::optional<bool> good;
};

void add(Side& side, const std::string& words, bool good) {
    if (!side.words.empty()) side.words += "; ";
    side.words += words;
    side.good = side.good.value_or(true) && good;
}

std::string name_of(const json::value& endpoint, std::size_t of) {
    return of > 1 ? text_at(endpoint, "/address") + " " : "";
}

Side handshake(const json::value& report) {
    Side side;
    const auto& endpoints = array_at(report, "/endpoints");
    for (const auto& endpoint : endpoints) {
        const auto outcome = text_at(endpoint, "/handshake/outcome");
        if (outcome.empty()) continue;
        const bool good = outcome == "ok";
        const auto detail = text_at(endpoint, good ? "/handshake/protocol" : "/handshake/reached");
        add(side,
            name_of(endpoint, endpoints.size()) + outcome +
                (detail.empty() ? "" : (good ? ", " : ", reached ") + detail),
            good);
    }
    return side;
}

bool hole(const json::value& endpoint, std::string_view direction) {
    const auto found = text_at(endpoint, "/diagnosis/direction");
    return text_at(endpoint, "/diagnosis/id") == "pmtu-black-hole" &&
           (found == "both" || found == direction);
}

Side path_mtu(const json::value& report, const std::string& direction) {
    Side side;
    const auto& endpoints = array_at(report, "/endpoints");
    for (const auto& endpoint : endpoints) {
        const auto size = number_at(endpoint, "/path_mtu/" + direction);
        const bool lost = hole(endpoint, direction);
        if (!size && !lost) continue;
        auto words =
            size ? fmt::format(
                       "{}{}", *size,
                       flag_at(endpoint, "/path_mtu/" + direction + "_exact") ? "" : " or more")
                 : "not known";
        if (lost) words += ", larger packets vanish";
        add(side, name_of(endpoint, endpoints.size()) + words, !lost);
    }
    return side;
}

// What stands for a large message: groups of full packets towards the server.
Side large_bytes(const json::value& report) {
    Side side;
    const auto& endpoints = array_at(report, "/endpoints");
    for (const auto& endpoint : endpoints) {
        std::uint64_t passes = 0;
        std::uint64_t fails = 0;
        for (const auto& flight : array_at(endpoint, "/flights")) {
            passes = std::max(passes, number_at(flight, "/passes").value_or(0));
            if (const auto failed = number_at(flight, "/fails"); failed && *failed > 0)
                fails = fails == 0 ? *failed : std::min(fails, *failed);
        }
        if (passes == 0 && fails == 0) continue;
        auto words = passes > 0 ? fmt::format("packets of {} bytes arrive", passes)
                                : std::string("no large packet arrives");
        if (fails > 0) words += fmt::format(", of {} bytes vanish", fails);
        add(side, name_of(endpoint, endpoints.size()) + words, fails == 0);
    }
    return side;
}

// Of connections as Postfix makes them: those that the search clamped lose nothing by design.
Side losses(const json::value& report) {
    Side side;
    const auto& endpoints = array_at(report, "/endpoints");
    for (const auto& endpoint : endpoints) {
        std::optional<std::uint64_t> resent;
        std::uint64_t gaps = 0;
        for (const auto& attempt : array_at(endpoint, "/attempts")) {
            if (flag_at(attempt, "/clamped")) continue;
            if (const auto count = number_at(attempt, "/tcp/retransmits"))
                resent = resent.value_or(0) + *count;
            gaps += number_at(attempt, "/large_lost").value_or(0);
        }
        if (!resent && gaps == 0) continue;
        add(side,
            fmt::format("{}{} sent again, {} missed from the server",
                        name_of(endpoint, endpoints.size()), resent.value_or(0), gaps),
            resent.value_or(0) <= harmless_retransmits && gaps == 0);
    }
    return side;
}

MendingItem item(std::string id, std::string what, const Side& before, const Side& after) {
    MendingItem item{std::move(id), std::move(what), before.words, after.words, Mended::unknown};
    if (after.good) item.mended = *after.good ? Mended::yes : Mended::no;
    return item;
}

std::string brief_of(const json::value& report) {
    const auto brief = text_at(report, "/diagnosis/brief");
    return brief.empty() ? text_at(report, "/diagnosis/id") : brief;
}

Severity severity_of(const json::value& report) {
    return parse_severity(text_at(report, "/diagnosis/severity")).value_or(Severity::unknown);
}

}  // namespace

std::string_view to_string(Mended mended) {
    switch (mended) {
        case Mended::yes:
            return "ok";
        case Mended::no:
            return "not-ok";
        case Mended::unknown:
            break;
    }
    return "unknown";
}

Mending mending(const json::value& before, const json::value& after) {
    Mending result;
    result.destination = text_at(after, "/destination");
    result.before = brief_of(before);
    result.after = brief_of(after);
    result.severity = severity_of(after);
    result.was_ill = severity_of(before) > Severity::unknown;
    result.items = {
        item("handshake", "TLS handshake", handshake(before), handshake(after)),
        item("path-mtu-inbound", "path MTU from the server", path_mtu(before, "inbound"),
             path_mtu(after, "inbound")),
        item("path-mtu-outbound", "path MTU to the server", path_mtu(before, "outbound"),
             path_mtu(after, "outbound")),
        item("large-messages", "bytes of large messages", large_bytes(before), large_bytes(after)),
        item("retransmissions", "lost packets", losses(before), losses(after)),
    };
    return result;
}

std::string to_text(const Mending& mending, bool colour) {
    const auto or_unknown = [](const std::string& words) {
        return words.empty() ? std::string("not known") : words;
    };
    auto out = fmt::format("{}\n  before: {}\n  after:  {}\n\n", mending.destination,
                           or_unknown(mending.before),
                           painted(or_unknown(mending.after), paint_of(mending.severity), colour));
    for (const auto& item : mending.items) {
        const auto mark = item.mended == Mended::yes  ? painted("ok     ", Paint::green, colour)
                          : item.mended == Mended::no ? painted("NOT OK ", Paint::red, colour)
                                                      : std::string("unknown");
        out += fmt::format("  {}  {:<25} {}\n", mark, item.what, or_unknown(item.after));
        if (!item.before.empty() && item.before != item.after)
            out += fmt::format("           {:<25} {}\n", "  before", item.before);
    }
    out += "\n";
    if (mending.severity < Severity::unknown)
        out += mending.was_ill ? "Mended.\n" : "Well; nothing was known to be ill.\n";
    else if (mending.severity == Severity::unknown)
        out += "It could not be told whether it is mended.\n";
    else
        out += fmt::format(
            "{0}; why: postfathom explain '{1}'; what would mend it: postfathom suggest '{1}'\n",
            mending.was_ill ? "Not mended" : "Ill now", mending.destination);
    return out;
}

json::object to_json(const Mending& mending) {
    const auto text_or_null = [](const std::string& text) -> json::value {
        if (text.empty()) return nullptr;
        return json::string(text);
    };
    json::object object;
    object["schema"] = 1;
    object["destination"] = mending.destination;
    object["before"] = text_or_null(mending.before);
    object["after"] = text_or_null(mending.after);
    object["severity"] = to_string(mending.severity);
    object["was_ill"] = mending.was_ill;
    object["mended"] = nullptr;
    if (mending.severity != Severity::unknown)
        object["mended"] = mending.severity < Severity::unknown;
    json::array items;
    for (const auto& item : mending.items)
        items.push_back({{"id", item.id},
                         {"before", text_or_null(item.before)},
                         {"after", text_or_null(item.after)},
                         {"result", to_string(item.mended)}});
    object["checklist"] = std::move(items);
    return object;
}

}  // namespace postfathom
