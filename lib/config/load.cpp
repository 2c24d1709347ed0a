// SPDX-License-Identifier: Apache-2.0
#include "lib/config/load.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "lib/base/text.hpp"
#include "lib/config/setting_rows.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20;
constexpr std::size_t max_faults = 100;

SettingValue to_value(const toml::node& node) {
    if (const auto* flag = node.as_boolean()) return flag->get();
    if (const auto* number = node.as_integer()) return number->get();
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* array = node.as_array()) {
        std::vector<std::string> texts;
        for (const auto& element : *array) {
            const auto* text = element.as_string();
            if (text == nullptr) return std::monostate{};
            texts.push_back(text->get());
        }
        return texts;
    }
    return std::monostate{};
}

// What was found, for a message.
std::string describe(const toml::node& node) {
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
    if (const auto* text = node.as_string()) return '"' + printable(text->get(), 64) + '"';
    if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
    if (node.is_table()) return "a table";
    if (const auto* array = node.as_array()) {
        if (array->is_array_of_tables()) return "an array of tables";
        constexpr std::size_t most = 8;  // as many as one looks through
        std::string elements;
        for (std::size_t i = 0; i < array->size() && i <= most; ++i) {
            elements += i == 0 ? "" : ", ";
            const auto& element = *array->get(i);
            elements += i == most || element.is_array() ? "..." : describe(element);
        }
        return '[' + elements + ']';
    }
    return "a date or time";
}

// Levenshtein's distance, to find the name that was meant.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto substituted = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
        }
    }
    return row.back();
}

const SettingRow* find_row(std::string_view name) {
    for (const auto& row : setting_rows())
        if (row.name == name) return &row;
    return nullptr;
}

bool is_table_name(std::string_view name) {
    const auto& rows = setting_rows();
    const auto prefix = std::string(name) + '.';
    return std::any_of(rows.begin(), rows.end(),
                       [&](const SettingRow& row) { return row.name.starts_with(prefix); });
}

std::string nearest_name(const std::string& name) {
    constexpr std::size_t longest_typed = 64;  // the distance costs length times length
    if (name.size() > longest_typed) return {};
    std::string nearest;
    // Below a third of the name is a slip of the finger; more is another word.
    std::size_t least = std::min<std::size_t>(name.size() / 3 + 1, 4);
    // Compared whole, and by the last part for a setting put into the wrong table.
    const auto consider = [&](const std::string& candidate, std::size_t how_far) {
        if (how_far >= least) return;
        least = how_far;
        nearest = candidate;
    };
    for (const auto& row : setting_rows()) {
        consider(row.name, distance(name, row.name));
        const auto table = row.name.substr(0, row.name.find('.'));
        if (name.find('.') == std::string::npos) consider(table, distance(name, table));
        if (name.substr(name.find('.') + 1) == row.name.substr(row.name.find('.') + 1))
            consider(row.name, 1);
    }
    return nearest;
}

class Loader {
  public:
    explicit Loader(std::string_view file) : file_(file) {}

    Result<Settings> load(const toml::table& root) {
        for (const auto& [key, node] : root)
            take_top_level(std::string(key.str()), node, key.source());
        for (const auto& conflict : find_conflicts(settings_)) take_conflict(conflict);
        if (faults_.empty()) return settings_;
        // The file's order, whatever order the tables came in.
        std::stable_sort(faults_.begin(), faults_.end(),
                         [](const Fault& a, const Fault& b) { return a.place < b.place; });
        std::string message;
        for (const auto& fault : faults_) message += (message.empty() ? "" : "\n") + fault.text;
        return fail(ErrorCode::invalid_input, message);
    }

  private:
    struct Fault {
        std::pair<toml::source_index, toml::source_index> place;  // line, column
        std::string text;
    };

    void report(const toml::source_region& where, const std::string& name,
                const std::string& what) {
        if (faults_.size() >= max_faults) return;
        const auto& begin = where.begin;
        faulty_.insert(name);
        faults_.push_back({{begin.line, begin.column},
                           begin ? fmt::format("{}:{}:{}: {}: {}", file_, begin.line, begin.column,
                                               printable(name, 64), what)
                                 : fmt::format("{}: {}: {}", file_, name, what)});
    }

    void unknown(const toml::source_region& where, const std::string& name) {
        const auto nearest = nearest_name(name);
        report(where, name,
               nearest.empty() ? "unknown setting; `postfathom config show` lists all of them"
                               : "unknown setting; did you mean " + nearest + "?");
    }

    void take_top_level(const std::string& name, const toml::node& node,
                        const toml::source_region& key) {
        if (name == "route") return take_routes(node);
        if (!is_table_name(name)) return unknown(key, name);
        const auto* table = node.as_table();
        if (table == nullptr)
            return report(node.source(), name,
                          fmt::format("expected a table [{}], found {}", name, describe(node)));
        for (const auto& [member, value] : *table)
            take_setting(name + '.' + std::string(member.str()), value, member.source());
    }

    void take_routes(const toml::node& node) {
        const auto* array = node.as_array();
        if (array == nullptr || !array->is_homogeneous(toml::node_type::table))
            return report(node.source(), "route",
                          fmt::format("expected tables [[route]], found {}", describe(node)));
        for (const auto& entry : *array) take_route(*entry.as_table());
    }

    void take_route(const toml::table& table) {
        std::map<std::string, std::string> members;
        for (const auto& [key, value] : table) {
            const std::string name(key.str());
            if (name != "domain" && name != "next_hop")
                return report(key.source(), "route." + name,
                              "unknown setting; a route has domain and next_hop");
            const auto* text = value.as_string();
            if (text == nullptr)
                return report(value.source(), "route." + name,
                              fmt::format("expected text, found {}", describe(value)));
            members[name] = text->get();
        }
        for (const std::string name : {"domain", "next_hop"})
            if (members.count(name) == 0)
                return report(table.source(), "route." + name,
                              "expected in each [[route]], found none");
        if (const auto fault = add_route(settings_, members["domain"], members["next_hop"]))
            report(table[fault->member].node()->source(), "route." + fault->member,
                   fmt::format("expected {}, found \"{}\"", fault->expected,
                               printable(members[fault->member], 64)));
    }

    void take_setting(const std::string& name, const toml::node& node,
                      const toml::source_region& key) {
        const auto* row = find_row(name);
        if (row == nullptr) return unknown(key, name);
        places_[name] = node.source();
        if (const auto expected = row->assign(settings_, to_value(node)))
            report(node.source(), name,
                   fmt::format("expected {}, found {}", *expected, describe(node)));
    }

    void take_conflict(const SettingConflict& conflict) {
        // A value that was refused left its default, which contradicts nothing the operator wrote.
        if (faulty_.count(conflict.name) + faulty_.count(conflict.other) > 0) return;
        // Where only one of the two is in the file, point at that one.
        for (const auto& name : {conflict.name, conflict.other})
            if (const auto place = places_.find(name); place != places_.end())
                return report(place->second, conflict.name, conflict.message);
    }

    std::string file_;
    Settings settings_;
    std::map<std::string, toml::source_region> places_;
    std::set<std::string> faulty_;
    std::vector<Fault> faults_;
};

}  // namespace

Result<Settings> parse_settings(std::string_view toml, std::string_view name) {
    if (toml.size() > max_file_bytes)
        return fail(ErrorCode::invalid_input, fmt::format("{}: expected at most {} bytes, found {}",
                                                          name, max_file_bytes, toml.size()));
    try {
        return Loader(name).load(toml::parse(toml, name));
    } catch (const toml::parse_error& error) {
        const auto& begin = error.source().begin;
        return fail(ErrorCode::invalid_input,
                    fmt::format("{}:{}:{}: not TOML: {}", name, begin.line, begin.column,
                                printable(error.description())));
    }
}

Result<Settings> load_settings(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
        auto error = errno_error(errno, file.string());
        error.message +=
            "; expected a configuration to read, as /etc/postfathom/postfathom.toml is";
        return tl::make_unexpected(std::move(error));
    }
    // One byte more than allowed tells a file that is too long.
    std::string text(max_file_bytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (stream.bad() || (stream.fail() && !stream.eof()))
        return tl::make_unexpected(errno_error(errno, file.string() + ": read"));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    return parse_settings(text, file.string());
}

Result<Settings> load_settings_or_defaults(const std::filesystem::path& file) {
    auto settings = load_settings(file);
    if (!settings && settings.error().code == ErrorCode::not_found && file == default_config_file)
        return Settings{};
    return settings;
}

std::string render_settings(const Settings& settings) {
    std::string text;
    std::string table;
    for (const auto& row : setting_rows()) {
        const auto dot = row.name.find('.');
        if (const auto own = row.name.substr(0, dot); own != table) {
            table = own;
            text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", table);
        }
        text += fmt::format("{} = {}\n", row.name.substr(dot + 1), row.render(settings));
    }
    for (const auto& route : settings.routes)
        text += fmt::format("\n[[route]]\ndomain = \"{}\"\nnext_hop = \"{}\"\n", route.domain,
                            route.verbatim);
    return text;
}

std::string settings_as_json(const Settings& settings) {
    const auto rendered = toml::parse(render_settings(settings));
    std::ostringstream text;
    text << toml::json_formatter(rendered);
    return text.str();
}

const std::vector<SettingDescription>& describe_settings() {
    static const auto descriptions = [] {
        std::vector<SettingDescription> all;
        const Settings defaults;
        for (const auto& row : setting_rows())
            all.push_back({row.name, row.render(defaults), row.unit, row.sentence});
        return all;
    }();
    return descriptions;
}

}  // namespace postfathom
