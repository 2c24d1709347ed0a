// SPDX-License-Identifier: Apache-2.0
// One small question for each daemon, asked as Postfix or an operator asks it, for tests that look
// whether a daemon answers.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/base/descriptor.hpp"

namespace postfathom {

enum class Surface { policy, dsn, milter, admin };

inline bool parse_surface(std::string_view name, Surface& surface) {
    if (name == "policy")
        surface = Surface::policy;
    else if (name == "dsn")
        surface = Surface::dsn;
    else if (name == "milter")
        surface = Surface::milter;
    else if (name == "admin")
        surface = Surface::admin;
    else
        return false;
    return true;
}

// Not open where nobody listens, or where a listener's queue is full.
inline Descriptor connect_to(const std::string& path) {
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket.reset();
    return socket;
}

inline std::string netstring(const std::string& text) {
    return std::to_string(text.size()) + ":" + text + ",";
}

inline std::string policy_request(const std::string& recipient) {
    return "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nrecipient=" +
           recipient + "\ninstance=1.2.3\n\n";
}

inline std::string question(Surface surface) {
    using namespace std::string_literals;
    switch (surface) {
        case Surface::policy:
            return policy_request("you@example.org");
        case Surface::dsn:
            return netstring(
                "dsn 4.4.1 connect to mx.example.org[192.0.2.1]:25: Connection timed out");
        case Surface::milter:
            // SMFIC_OPTNEG with version 6, all actions, and leave to have any step left out.
            return "\0\0\0\x0d"
                   "O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"s;
        case Surface::admin:
            return "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }
    return {};
}

inline bool complete(Surface surface, std::string_view answer) {
    switch (surface) {
        case Surface::policy:
            return answer.starts_with("action=") && answer.ends_with("\n\n");
        case Surface::dsn:
            return answer.ends_with(",") && (answer.find(":NOTFOUND") != std::string_view::npos ||
                                             answer.find(":OK ") != std::string_view::npos);
        case Surface::milter:
            return answer.size() >= 17 && answer[4] == 'O';
        case Surface::admin:
            return answer.starts_with("HTTP/1.1 200") && answer.ends_with("}\n");
    }
    return false;
}

// Empty: answered. Else what went wrong.
inline std::string ask(const Descriptor& socket, Surface surface, std::chrono::milliseconds limit) {
    const auto bytes = question(surface);
    if (::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
        return std::string("sending: ") + std::strerror(errno);
    std::string answer;
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!complete(surface, answer)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd readable{socket.get(), POLLIN, 0};
        if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) <= 0)
            return "no answer in time, only: " + answer;
        char part[4096];
        const auto count = ::recv(socket.get(), part, sizeof part, 0);
        if (count <= 0) return "the connection ended after: " + answer;
        answer.append(part, static_cast<std::size_t>(count));
    }
    return {};
}

}  // namespace postfathom
