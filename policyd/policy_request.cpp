// SPDX-License-Identifier: Apache-2.0
#include "policyd/policy_request.hpp"

#include <fmt/core.h>

#include "lib/base/text.hpp"

namespace postfathom {

PolicyRequestParser::Status PolicyRequestParser::refuse(std::string why) {
    error_ = std::move(why);
    return Status::broken;
}

PolicyRequestParser::Status PolicyRequestParser::feed(std::string_view& bytes) {
    if (!error_.empty()) return Status::broken;
    if (complete_) {
        // clear() keeps the memory: a busy connection allocates nothing.
        request_.request.clear();
        request_.protocol_state.clear();
        request_.recipient.clear();
        request_.instance.clear();
        request_.policy_context.clear();
        request_.client_address.clear();
        attributes_ = bytes_ = 0;
        complete_ = false;
    }
    while (!bytes.empty()) {
        const auto newline = bytes.find('\n');
        const auto piece = bytes.substr(0, newline);
        if (partial_.size() + piece.size() > max_policy_line)
            return refuse(
                fmt::format("a line longer than the {} bytes that are allowed", max_policy_line));
        if (newline == bytes.npos) {
            partial_ += piece;
            bytes = {};
            return Status::need_more;
        }
        bytes.remove_prefix(newline + 1);
        bytes_ += partial_.size() + piece.size() + 1;
        if (bytes_ > max_policy_request)
            return refuse(
                fmt::format("a request longer than the {} bytes allowed", max_policy_request));
        auto status = Status::need_more;
        if (partial_.empty()) {
            status = take_line(piece);
        } else {
            partial_ += piece;
            status = take_line(partial_);
            partial_.clear();
        }
        if (status != Status::need_more) return status;
    }
    return Status::need_more;
}

PolicyRequestParser::Status PolicyRequestParser::take_line(std::string_view line) {
    if (line.empty()) {
        if (attributes_ == 0) return refuse("an empty request, expected lines of name=value");
        complete_ = true;
        return Status::complete;
    }
    const auto equals = line.find('=');
    if (equals == line.npos || equals == 0 || line.find('\0') != line.npos)
        return refuse(fmt::format("expected name=value, found \"{}\"", printable(line, 64)));
    if (++attributes_ > max_policy_attributes)
        return refuse(fmt::format("more than {} attributes", max_policy_attributes));
    const auto name = line.substr(0, equals);
    const auto value = line.substr(equals + 1);
    if (name == "request") {
        request_.request = value;
    } else if (name == "protocol_state") {
        request_.protocol_state = value;
    } else if (name == "recipient") {
        request_.recipient = value;
    } else if (name == "instance") {
        request_.instance = value;
    } else if (name == "policy_context") {
        request_.policy_context = value;
    } else if (name == "client_address") {
        request_.client_address = value;
    }
    return Status::need_more;
}

}  // namespace postfathom
