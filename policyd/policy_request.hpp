// SPDX-License-Identifier: Apache-2.0
// Reads requests of the policy delegation protocol (SMTPD_POLICY_README): lines of name=value,
// ended by an empty line. Bytes in, requests out; the same requests however the bytes are split.
#pragma once

#include <string>
#include <string_view>

namespace postfathom {

// Postfix limits an SMTP command to 2048 bytes (line_length_limit), and a certificate's subject in
// xtext may be three times as long as it was; it sends about 35 attributes.
inline constexpr std::size_t max_policy_line = 8192;
inline constexpr std::size_t max_policy_attributes = 64;
inline constexpr std::size_t max_policy_request = 32 * 1024;

// The attributes we ask for; the others are skipped.
struct PolicyRequest {
    std::string request;           // "smtpd_access_policy"
    std::string protocol_state;    // "RCPT", "DATA", ...
    std::string recipient;         // empty outside RCPT, or when a message has several
    std::string instance;          // the same for all requests about one message
    std::string policy_context{};  // of the check that asks, from main.cf (3.1 and later)
    std::string client_address{};

    bool operator==(const PolicyRequest&) const = default;
};

class PolicyRequestParser {
  public:
    enum class Status { need_more, complete, broken };

    // Takes bytes from the front of `bytes` until a request is complete, or all are taken. After
    // `broken` the connection must end: where the next request starts is unknown.
    Status feed(std::string_view& bytes);

    // Some of a request is here, and not all of it.
    bool mid_request() const { return !complete_ && (attributes_ > 0 || !partial_.empty()); }

    // Of the last `complete`, until the next feed().
    const PolicyRequest& request() const { return request_; }
    const std::string& error() const { return error_; }

  private:
    Status take_line(std::string_view line);
    Status refuse(std::string why);

    PolicyRequest request_;
    std::string partial_;  // a line without its newline, at most max_policy_line bytes
    std::size_t attributes_ = 0;
    std::size_t bytes_ = 0;
    bool complete_ = false;
    std::string error_;
};

}  // namespace postfathom
