// SPDX-License-Identifier: Apache-2.0
// Reads what a web server answers to a GET, as far as an MTA-STS policy needs it (RFC 8461 section
// 3.3): nothing else than 200 and text/plain counts. Pure; https_get.cpp has the connection.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"

namespace postfathom {

class HttpsAnswer {
  public:
    static constexpr std::size_t max_header_bytes = std::size_t{16} * 1024;

    explicit HttpsAnswer(std::size_t max_body_bytes);
    ~HttpsAnswer();
    HttpsAnswer(const HttpsAnswer&) = delete;
    HttpsAnswer& operator=(const HttpsAnswer&) = delete;

    // More of it, wherever it was cut. What comes after its end is left unread.
    void put(std::string_view bytes);
    // The server ended the TLS session, which is the end of a body that has no length. That of the
    // connection alone is none: anybody could cut it.
    void end();

    // Nothing more is needed: it is whole, or it is wrong.
    bool over() const;
    // invalid_input, in words for a message: what is wrong, or that it is not whole.
    Result<std::string> body() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postfathom
