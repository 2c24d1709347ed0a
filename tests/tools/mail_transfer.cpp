// SPDX-License-Identifier: Apache-2.0
// A mail transfer as TCP sees it: small commands and replies, then a body. For tests of what the
// kernel's counters tell of real connections.
//   mail_transfer serve ADDRESS PORT [stop]      "stop": never reads a body
//   mail_transfer send ADDRESS PORT BYTES        prints "talked", then "sent" when it was accepted
#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/tools/listening.hpp"

namespace {

constexpr int commands = 8;

bool write_all(int socket, const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
        const auto length = ::send(socket, text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (length <= 0) return false;
        done += static_cast<std::size_t>(length);
    }
    return true;
}

std::string read_line(int socket) {
    std::string line;
    char c = 0;
    while (::recv(socket, &c, 1, 0) == 1) {
        if (c == '\n') return line;
        line += c;
    }
    return {};
}

void converse(int socket, bool stop) {
    for (int i = 0; i < commands; ++i) {
        if (read_line(socket).empty()) break;
        write_all(socket, "250 ok\n");
    }
    auto left = std::strtoul(read_line(socket).c_str(), nullptr, 10);
    write_all(socket, "354 go on\n");
    if (stop) {
        ::pause();
    }
    std::vector<char> buffer(65536);
    while (left > 0) {
        const auto length = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (length <= 0) break;
        left -= std::min(left, static_cast<std::size_t>(length));
    }
    if (left == 0) write_all(socket, "250 queued\n");
    ::close(socket);
}

int serve(const std::string& address, int port, bool stop) {
    const int listener = listen_on(address, port);
    if (listener < 0) {
        std::perror("listen");
        return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        const int socket = ::accept(listener, nullptr, nullptr);
        if (socket >= 0) std::thread(converse, socket, stop).detach();
    }
}

int send_body(const std::string& address, const std::string& port, std::size_t bytes) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address.c_str(), port.c_str(), &hints, &found) != 0) return 1;
    const int socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(socket, found->ai_addr, found->ai_addrlen) != 0) {
        std::perror("connect");
        return 1;
    }
    ::freeaddrinfo(found);
    for (int i = 0; i < commands; ++i)
        if (!write_all(socket, "NOOP " + std::to_string(i) + "\n") || read_line(socket).empty())
            return 1;
    if (!write_all(socket, std::to_string(bytes) + "\n") || read_line(socket).empty()) return 1;
    std::puts("talked");
    std::fflush(stdout);
    if (!write_all(socket, std::string(bytes, 'x')) || read_line(socket).empty()) return 1;
    std::puts("sent");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv, argv + argc);
    std::signal(SIGPIPE, SIG_IGN);
    if (words.size() >= 4 && words[1] == "serve")
        return serve(words[2], std::atoi(words[3].c_str()), words.size() > 4);
    if (words.size() == 5 && words[1] == "send")
        return send_body(words[2], words[3], std::strtoul(words[4].c_str(), nullptr, 10));
    std::fputs("usage: mail_transfer serve ADDRESS PORT [stop] | send ADDRESS PORT BYTES\n",
               stderr);
    return 2;
}
