// SPDX-License-Identifier: Apache-2.0
#include "probes/status_page.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace postfathom {

extern const std::string_view status_page_html;  // made from status_page.html

namespace {

constexpr std::string_view placeholder = "@NONCE@";

std::string fresh_nonce() {
    std::array<std::uint8_t, 16> bytes{};
    if (::getentropy(bytes.data(), bytes.size()) != 0)
        throw std::system_error(errno, std::generic_category(), "getentropy");
    std::string nonce;
    for (const auto byte : bytes) nonce += fmt::format("{:02x}", byte);
    return nonce;
}

}  // namespace

StatusPage status_page() {
    const auto nonce = fresh_nonce();
    StatusPage page;
    page.html = status_page_html;
    for (auto at = page.html.find(placeholder); at != std::string::npos;
         at = page.html.find(placeholder, at))
        page.html.replace(at, placeholder.size(), nonce);
    // data: is the empty icon, without which browsers ask for /favicon.ico.
    page.policy = fmt::format(
        "default-src 'none'; script-src 'nonce-{}'; style-src 'nonce-{}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        nonce, nonce);
    return page;
}

}  // namespace postfathom
