// SPDX-License-Identifier: Apache-2.0
#include "cli/daemon_answer.hpp"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "cli/commands.hpp"
#include "lib/base/text.hpp"
#include "lib/net/admin_client.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

constexpr std::size_t max_depth = 32;
constexpr std::size_t max_text = 4096;  // of one value; commands are long

}  // namespace

int complain(const Error& error) {
    fmt::print(stderr, "postfathom: {}\n", error.message);
    return error.code == ErrorCode::invalid_input ? EX_USAGE : EX_UNAVAILABLE;
}

json::value parse_answer(std::string_view text) {
    json::parse_options options;
    options.max_depth = max_depth;
    json::error_code error;
    auto value = json::parse({text.data(), text.size()}, error, {}, options);
    if (error) return nullptr;
    return value;
}

std::string text_of(const json::value& value) {
    if (value.is_string()) {
        const auto& text = value.get_string();
        return printable({text.data(), text.size()}, max_text);
    }
    if (value.is_int64()) return std::to_string(value.get_int64());
    if (value.is_uint64()) return std::to_string(value.get_uint64());
    if (value.is_double()) return fmt::format("{:.3g}", value.get_double());
    return "";
}

std::string text(const json::value& object, std::string_view name) {
    return text_of(member(object, name));
}

bool flag(const json::value& object, std::string_view name) {
    const auto& value = member(object, name);
    return value.is_bool() && value.get_bool();
}

const json::array& list(const json::value& object, std::string_view name) {
    static const json::array none;
    const auto& value = member(object, name);
    return value.is_array() ? value.get_array() : none;
}

std::string percent_encoded(std::string_view next_hop) {
    std::string encoded;
    for (const char c : next_hop) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        encoded +=
            plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return encoded;
}

DaemonReply try_daemon(const Settings& settings, const AdminQuestion& question) {
    const auto answer = admin_request(settings.admin.socket, question.method, question.target,
                                      question.body, question.limit);
    if (!answer) return {std::nullopt, 0, answer.error().message, answer.error().code};
    if (answer->status == 200) return {answer->body, 200, "", {}};
    auto words = text(member(parse_answer(answer->body), "error"), "message");
    if (words.empty()) words = fmt::format("the daemon answered with status {}", answer->status);
    return {std::nullopt, answer->status, std::move(words), {}};
}

Asked ask_daemon(const Settings& settings, const AdminQuestion& question) {
    const auto reply = try_daemon(settings, question);
    if (reply.body) return {reply.body, 0};
    if (reply.status == 0) return {std::nullopt, complain({reply.code, reply.trouble})};
    fmt::print(stderr, "postfathom: {}\n", reply.trouble);
    if (reply.status == 404) return {std::nullopt, exit_not_known};
    return {std::nullopt, reply.status == 400 ? EX_USAGE : EX_UNAVAILABLE};
}

AdminQuestion probe_question(const std::string& next_hop, std::chrono::milliseconds limit) {
    const json::object body{{"destination", next_hop}, {"wait", true}};
    return {"/v1/probe", "POST", json::serialize(body), limit};
}

}  // namespace postfathom
