// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/configuration.hpp"

#include <charconv>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view separators = " \t\r\n,";

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> found;
    for (auto at = text.find_first_not_of(blanks); at != std::string_view::npos;) {
        const auto end = std::min(text.find_first_of(blanks, at), text.size());
        found.push_back(text.substr(at, end - at));
        at = text.find_first_not_of(blanks, end);
    }
    return found;
}

// Where the piece that begins at `begin` ends; a brace that is never closed takes all.
std::size_t end_of_item(std::string_view value, std::size_t begin) {
    int depth = 0;
    for (std::size_t at = begin; at < value.size(); ++at) {
        if (value[at] == '{') ++depth;
        if (value[at] == '}' && depth > 0) --depth;
        if (depth == 0 && separators.find(value[at]) != std::string_view::npos) return at;
    }
    return value.size();
}

std::optional<int> number(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end == text.data()) return std::nullopt;
    return value;
}

void set_option(PostfixService& service, std::string_view setting) {
    const auto equals = setting.find('=');
    if (equals == std::string_view::npos) return;
    service.options[std::string(trim(setting.substr(0, equals)))] =
        std::string(trim(setting.substr(equals + 1)));
}

// `-o name=value`, `-oname=value`, `-o { name = value }` (master(5)).
void read_options(PostfixService& service, const std::vector<std::string>& arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string_view argument = arguments[i];
        if (argument.substr(0, 2) != "-o") continue;
        argument.remove_prefix(2);
        if (argument.empty() && i + 1 < arguments.size()) argument = arguments[++i];
        if (argument.size() >= 2 && argument.front() == '{' && argument.back() == '}')
            argument = argument.substr(1, argument.size() - 2);
        set_option(service, argument);
    }
}

// An option's value may hold commas, so that only blanks separate here.
std::vector<std::string> arguments_of(std::string_view text) {
    std::vector<std::string> found;
    std::string item;
    int depth = 0;
    for (const char c : text) {
        if (c == '{') ++depth;
        if (c == '}' && depth > 0) --depth;
        if (depth > 0 || blanks.find(c) == std::string_view::npos) {
            item += c;
        } else if (!item.empty()) {
            found.push_back(std::move(item));
            item.clear();
        }
    }
    if (!item.empty()) found.push_back(std::move(item));
    return found;
}

}  // namespace

const std::string& PostfixConfiguration::value(const std::string& parameter) const {
    static const std::string nothing;
    const auto found = parameters.find(parameter);
    return found == parameters.end() ? nothing : found->second;
}

std::map<std::string, std::string> parse_parameters(std::string_view printed) {
    std::map<std::string, std::string> parameters;
    for (const auto line : split(printed, '\n')) {
        const auto equals = line.find('=');
        if (equals == std::string_view::npos || equals == 0) continue;
        parameters[std::string(trim(line.substr(0, equals)))] =
            std::string(trim(line.substr(equals + 1)));
    }
    return parameters;
}

std::vector<PostfixService> parse_services(std::string_view printed) {
    constexpr std::size_t columns = 8;
    std::vector<PostfixService> services;
    for (const auto line : split(printed, '\n')) {
        const auto fields = words(line);
        if (fields.size() < columns) continue;
        PostfixService service;
        service.name = fields[0];
        service.type = fields[1];
        service.chroot = fields[4] == "y";  // "-" is n since Postfix 3.0
        service.program = fields[7];
        const auto behind =
            static_cast<std::size_t>(fields[7].data() - line.data()) + fields[7].size();
        read_options(service, arguments_of(line.substr(behind)));
        services.push_back(std::move(service));
    }
    return services;
}

std::vector<std::string> list_items(std::string_view value) {
    std::vector<std::string> items;
    for (auto at = value.find_first_not_of(separators); at != std::string_view::npos;) {
        const auto end = end_of_item(value, at);
        items.emplace_back(value.substr(at, end - at));
        at = value.find_first_not_of(separators, end);
    }
    return items;
}

PostfixHook parse_hook(std::string_view item) {
    PostfixHook hook;
    if (item.size() < 2 || item.front() != '{' || item.back() != '}') {
        hook.endpoint = item;
        return hook;
    }
    for (const auto& part : list_items(item.substr(1, item.size() - 2))) {
        std::string_view text = part;
        if (text.size() >= 2 && text.front() == '{' && text.back() == '}')
            text = trim(text.substr(1, text.size() - 2));
        const auto equals = text.find('=');
        if (hook.endpoint.empty())
            hook.endpoint = text;
        else if (equals != std::string_view::npos)
            hook.attributes[to_lower(trim(text.substr(0, equals)))] =
                std::string(trim(text.substr(equals + 1)));
    }
    return hook;
}

std::optional<double> parse_postfix_time(std::string_view text, char unit) {
    const auto value = number(text);
    if (!value) return std::nullopt;
    const auto digits_end = text.find_first_not_of("0123456789");
    if (digits_end != std::string_view::npos) {
        if (digits_end + 1 != text.size()) return std::nullopt;
        unit = text[digits_end];
    }
    switch (unit) {
        case 's':
            return *value;
        case 'm':
            return *value * 60.0;
        case 'h':
            return *value * 3600.0;
        case 'd':
            return *value * 86400.0;
        case 'w':
            return *value * 604800.0;
        default:
            return std::nullopt;
    }
}

PostfixVersion parse_postfix_version(std::string_view mail_version) {
    const auto major = number(mail_version);
    const auto dot = mail_version.find('.');
    if (!major || dot == std::string_view::npos) return {};
    const auto minor = number(mail_version.substr(dot + 1));
    if (!minor || *major < 0 || *minor < 0) return {};
    return {*major, *minor};
}

std::string socket_file(std::string_view path, const std::string& queue_directory, bool chroot) {
    if (path.empty()) return "";
    if (path.front() != '/') return queue_directory + '/' + std::string(path);
    return (chroot ? queue_directory : "") + std::string(path);
}

}  // namespace postfathom
