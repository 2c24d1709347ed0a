// SPDX-License-Identifier: Apache-2.0
// The socketmap protocol (socketmap_table(5)): netstrings with "NAME KEY" in, "OK text" or
// "NOTFOUND " out. Bytes in, requests out; the same requests however the bytes are split.
#pragma once

#include <string>
#include <string_view>

namespace postfathom {

// A longer request is answered with "not found": it is a long reply of a server, nothing of ours.
inline constexpr std::size_t max_socketmap_request = 4096;
// What is skipped of such a request; Postfix itself sends less than 100,000 bytes of a reason.
inline constexpr std::size_t max_socketmap_skipped = 999'999;

class SocketmapParser {
  public:
    enum class Status { need_more, complete, broken };

    // Takes bytes from the front of `bytes` until a request is complete, or all are taken. After
    // `broken` the connection must end.
    Status feed(std::string_view& bytes);

    // Of the last `complete`, until the next feed().
    std::string_view name() const;
    std::string_view key() const;
    // Some of a request is here, and not all of it.
    bool mid_request() const {
        return part_ != Part::done && (part_ != Part::length || digits_ > 0);
    }
    bool overlong() const { return length_ > max_socketmap_request; }
    const std::string& error() const { return error_; }

  private:
    enum class Part { length, payload, comma, done };
    Status refuse(std::string why);
    Status take_length(std::string_view& bytes);

    Part part_ = Part::length;
    std::size_t digits_ = 0;
    std::size_t length_ = 0;
    std::size_t taken_ = 0;
    std::string payload_;  // at most max_socketmap_request bytes
    std::string error_;
};

// Appends the netstring "LENGTH:OK text," to `out`.
void append_found(std::string& out, std::string_view text);
void append_not_found(std::string& out);

}  // namespace postfathom
