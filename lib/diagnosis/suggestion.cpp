// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/suggestion.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr NameTable<SuggestionKind, 17> kind_names{{
    {SuggestionKind::tunnel_mtu, "tunnel-mtu"},
    {SuggestionKind::container_mtu, "container-mtu"},
    {SuggestionKind::let_icmp_through, "let-icmp-through"},
    {SuggestionKind::route_mtu, "route-mtu"},
    {SuggestionKind::route_advmss, "route-advmss"},
    {SuggestionKind::host_clamp, "mss-clamp-host"},
    {SuggestionKind::mss_clamp_nft, "mss-clamp-nft"},
    {SuggestionKind::mss_clamp_iptables, "mss-clamp-iptables"},
    {SuggestionKind::bind_address, "bind-address"},
    {SuggestionKind::address_family, "address-family"},
    {SuggestionKind::tcp_mtu_probing, "tcp-mtu-probing"},
    {SuggestionKind::no_pipelining, "no-pipelining"},
    {SuggestionKind::session_cache, "tls-session-cache"},
    {SuggestionKind::patient_transport, "transport-of-its-own"},
    {SuggestionKind::tls_policy, "tls-policy"},
    {SuggestionKind::own_server, "own-server"},
    {SuggestionKind::letter, "letter"},
}};

constexpr NameTable<SuggestionForm, 4> form_names{{
    {SuggestionForm::shell, "shell"},
    {SuggestionForm::other_shell, "other-shell"},
    {SuggestionForm::postfix_line, "postfix-line"},
    {SuggestionForm::letter, "letter"},
}};

constexpr std::size_t most_lines = 64;
constexpr std::size_t longest_text = 4096;

json::array texts(const std::vector<std::string>& lines) {
    json::array array;
    for (const auto& line : lines) array.emplace_back(line);
    return array;
}

bool printable_line(std::string_view text) {
    return text.size() <= longest_text &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Reads members; `sound` falls when one is not what may be printed.
class Reader {
  public:
    explicit Reader(const json::object& object) : object_(object) {}

    std::string text(std::string_view name) {
        const auto* value = object_.if_contains({name.data(), name.size()});
        if (value == nullptr || !value->is_string()) return "";
        return checked(value->get_string());
    }
    std::vector<std::string> lines(std::string_view name) {
        std::vector<std::string> result;
        const auto* value = object_.if_contains({name.data(), name.size()});
        if (value == nullptr || !value->is_array()) return result;
        for (const auto& line : value->get_array()) {
            sound = sound && line.is_string() && result.size() < most_lines;
            if (!sound) return {};
            result.push_back(checked(line.get_string()));
        }
        return result;
    }
    bool flag(std::string_view name) const {
        const auto* value = object_.if_contains({name.data(), name.size()});
        return value != nullptr && value->is_bool() && value->get_bool();
    }
    std::vector<FileLines> files() {
        std::vector<FileLines> result;
        const auto* value = object_.if_contains("files");
        if (value == nullptr || !value->is_array()) return result;
        for (const auto& entry : value->get_array()) {
            sound = sound && entry.is_object() && result.size() < most_lines;
            if (!sound) return {};
            Reader inner(entry.get_object());
            result.push_back({inner.text("file"), inner.lines("lines"), inner.flag("needed")});
            sound = sound && inner.sound;
        }
        return result;
    }

    bool sound = true;

  private:
    std::string checked(const json::string& text) {
        sound = sound && printable_line({text.data(), text.size()});
        return sound ? std::string(text) : std::string{};
    }
    const json::object& object_;
};

}  // namespace

std::string_view to_string(SuggestionKind kind) { return name_in(kind_names, kind); }
std::optional<SuggestionKind> parse_suggestion_kind(std::string_view text) {
    return value_in(kind_names, text);
}
std::string_view to_string(SuggestionForm form) { return name_in(form_names, form); }
std::optional<SuggestionForm> parse_suggestion_form(std::string_view text) {
    return value_in(form_names, text);
}

const std::vector<SuggestionKind>& all_suggestion_kinds() {
    static const std::vector<SuggestionKind> kinds = [] {
        std::vector<SuggestionKind> all;
        for (const auto& entry : kind_names) all.push_back(entry.first);
        return all;
    }();
    return kinds;
}

json::object to_json(const Suggestion& suggestion) {
    const auto text = [](const std::string& words) {
        return words.empty() ? json::value(nullptr) : json::value(words);
    };
    json::array files;
    for (const auto& file : suggestion.files) {
        json::object entry;
        entry["file"] = file.file;
        entry["lines"] = texts(file.lines);
        entry["needed"] = file.needed;
        files.push_back(std::move(entry));
    }
    json::object object;
    object["kind"] = to_string(suggestion.kind);
    object["form"] = to_string(suggestion.form);
    object["scope"] = suggestion.scope;
    object["why"] = suggestion.why;
    object["table"] = text(suggestion.table);
    object["commands"] = texts(suggestion.commands);
    object["files"] = std::move(files);
    object["expected"] = text(suggestion.expected);
    object["verify"] = texts(suggestion.verify);
    object["undo"] = texts(suggestion.undo);
    object["risk"] = text(suggestion.risk);
    object["proven"] = suggestion.proven;
    object["proof"] = text(suggestion.proof);
    object["tls_floor"] = to_string(suggestion.tls_floor.level());
    return object;
}

std::optional<Suggestion> parse_suggestion(const json::value& value) {
    if (!value.is_object()) return std::nullopt;
    Reader reader(value.get_object());
    const auto kind = parse_suggestion_kind(reader.text("kind"));
    const auto form = parse_suggestion_form(reader.text("form"));
    const auto floor = parse_tls_level(reader.text("tls_floor"));
    if (!kind || !form || !floor) return std::nullopt;
    Suggestion suggestion;
    suggestion.kind = *kind;
    suggestion.form = *form;
    suggestion.scope = reader.text("scope");
    suggestion.why = reader.text("why");
    suggestion.table = reader.text("table");
    suggestion.commands = reader.lines("commands");
    suggestion.files = reader.files();
    suggestion.expected = reader.text("expected");
    suggestion.verify = reader.lines("verify");
    suggestion.undo = reader.lines("undo");
    suggestion.risk = reader.text("risk");
    suggestion.proven = reader.flag("proven");
    suggestion.proof = reader.text("proof");
    suggestion.tls_floor = *floor;
    if (!reader.sound || suggestion.commands.empty()) return std::nullopt;
    return suggestion;
}

}  // namespace postfathom
