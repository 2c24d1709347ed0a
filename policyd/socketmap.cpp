// SPDX-License-Identifier: Apache-2.0
#include "policyd/socketmap.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_digits = 6;
static_assert(max_socketmap_skipped == 999'999);

}  // namespace

SocketmapParser::Status SocketmapParser::refuse(std::string why) {
    error_ = std::move(why);
    return Status::broken;
}

SocketmapParser::Status SocketmapParser::take_length(std::string_view& bytes) {
    while (!bytes.empty()) {
        const char c = bytes.front();
        bytes.remove_prefix(1);
        if (c == ':' && digits_ > 0) {
            part_ = length_ > 0 ? Part::payload : Part::comma;
            return Status::need_more;
        }
        const bool leading_zero = digits_ > 0 && length_ == 0;
        if (c < '0' || c > '9' || leading_zero || digits_ == max_digits)
            return refuse(
                fmt::format("expected a netstring such as \"4:abcd,\" of at most {} bytes"
                            ", found \"{}\" in its length",
                            max_socketmap_skipped, printable({&c, 1})));
        length_ = length_ * 10 + static_cast<std::size_t>(c - '0');
        ++digits_;
    }
    return Status::need_more;
}

SocketmapParser::Status SocketmapParser::feed(std::string_view& bytes) {
    if (!error_.empty()) return Status::broken;
    if (part_ == Part::done) {
        part_ = Part::length;
        digits_ = length_ = taken_ = 0;
        payload_.clear();
    }
    if (part_ == Part::length && take_length(bytes) == Status::broken) return Status::broken;
    if (part_ == Part::payload) {
        const auto piece = bytes.substr(0, length_ - taken_);
        bytes.remove_prefix(piece.size());
        taken_ += piece.size();
        payload_ += piece.substr(0, max_socketmap_request - payload_.size());
        if (taken_ == length_) part_ = Part::comma;
    }
    if (part_ != Part::comma || bytes.empty()) return Status::need_more;
    const char c = bytes.front();
    bytes.remove_prefix(1);
    if (c != ',')
        return refuse(fmt::format("expected ',' after a netstring of {} bytes, found \"{}\"",
                                  length_, printable({&c, 1})));
    part_ = Part::done;
    return Status::complete;
}

std::string_view SocketmapParser::name() const {
    return std::string_view(payload_).substr(0, payload_.find(' '));
}

std::string_view SocketmapParser::key() const {
    const auto blank = payload_.find(' ');
    return blank == std::string::npos ? std::string_view()
                                      : std::string_view(payload_).substr(blank + 1);
}

void append_found(std::string& out, std::string_view text) {
    out += std::to_string(text.size() + 3);
    out += ":OK ";
    out += text;
    out += ',';
}

// With its blank: without it newer releases take some answers for an empty result.
void append_not_found(std::string& out) { out += "9:NOTFOUND ,"; }

}  // namespace postfathom
