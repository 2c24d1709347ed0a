// SPDX-License-Identifier: Apache-2.0
#include "probes/tls_session.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/base/descriptor.hpp"

using namespace postfathom;

namespace {

// Length of the whole record, and the extensions' types in order.
struct HelloShape {
    std::size_t length = 0;
    std::size_t ciphers = 0;
    std::vector<unsigned> extensions;
    bool operator==(const HelloShape&) const = default;
};

// RFC 8446 section 4.1.2.
HelloShape shape_of(const std::string& hello) {
    const auto byte = [&hello](std::size_t at) { return static_cast<unsigned char>(hello.at(at)); };
    const auto two = [&byte](std::size_t at) { return byte(at) * 256U + byte(at + 1); };
    HelloShape shape;
    shape.length = hello.size();
    std::size_t at = 5 + 4 + 2 + 32;
    at += 1 + byte(at);
    shape.ciphers = two(at) / 2;
    at += 2 + two(at);
    at += 1 + byte(at);
    at += 2;
    while (at + 4 <= hello.size()) {
        shape.extensions.push_back(two(at));
        at += 4 + two(at + 2);
    }
    return shape;
}

std::string our_hello(const std::string& server_name) {
    const auto context = TlsContext::create("");
    REQUIRE(context.has_value());
    TlsSession session(*context, server_name, "");
    session.handshake();
    REQUIRE_FALSE(session.failed());
    return session.take_output();
}

std::string read_some(int socket) {
    std::array<char, 4096> buffer{};
    const auto length = ::recv(socket, buffer.data(), buffer.size(), 0);
    return length > 0 ? std::string(buffer.data(), static_cast<std::size_t>(length))
                      : std::string();
}

void say(int socket, const std::string& text) {
    REQUIRE(::send(socket, text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
}

// The ClientHello of Postfix's own test client, caught by a server on loopback that says no more.
std::string postfix_hello(const std::string& program) {
    const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    const timeval patience{10, 0};
    ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

    auto where = "[127.0.0.1]:" + std::to_string(ntohs(address.sin_port));
    std::array<std::string, 7> arguments{program, "-c", "-t", "10", "-l", "may", where};
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);

    std::string hello;
    {
        const Descriptor peer(::accept(listener.get(), nullptr, nullptr));
        REQUIRE(peer);
        ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        say(peer.get(), "220 mail.example.org ESMTP\r\n");
        CHECK(read_some(peer.get()).starts_with("EHLO"));
        say(peer.get(), "250-mail.example.org\r\n250 STARTTLS\r\n");
        CHECK(read_some(peer.get()) == "STARTTLS\r\n");
        say(peer.get(), "220 go\r\n");
        hello = read_some(peer.get());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return hello;
}

}  // namespace

TEST_CASE("our ClientHello has the size and the extensions of Postfix's") {
    std::string program;
    for (const auto* path : {"/usr/sbin/posttls-finger", "/usr/bin/posttls-finger"})
        if (std::filesystem::exists(path)) program = path;
    if (program.empty()) {
        MESSAGE("skipped: posttls-finger (Debian package postfix) is not installed");
        return;
    }
    const auto postfix = shape_of(postfix_hello(program));
    const auto ours = shape_of(our_hello(""));
    CHECK(ours.length == postfix.length);
    CHECK(ours.ciphers == postfix.ciphers);
    CHECK(ours.extensions == postfix.extensions);
    CHECK(ours.length == 517);  // padded to 512 and the record's header, with Postfix's defaults
}

TEST_CASE("a server name is sent only when given") {
    constexpr unsigned server_name = 0;
    const auto has = [](const HelloShape& shape) {
        for (const auto extension : shape.extensions)
            if (extension == server_name) return true;
        return false;
    };
    CHECK_FALSE(has(shape_of(our_hello(""))));
    CHECK(has(shape_of(our_hello("mail.example.org"))));
}

TEST_CASE("what is not TLS is told from TLS that fails") {
    const auto context = TlsContext::create("");
    REQUIRE(context.has_value());
    struct Case {
        std::string bytes;
        Outcome outcome;
        std::string words;
    };
    for (const auto& example :
         {Case{"500 5.5.1 what is this?\r\n", Outcome::garbled, "wrong version number"},
          Case{std::string("\x15\x03\x03\x00\x02\x02\x28", 7), Outcome::tls_alert,
               "alert handshake failure"},
          Case{std::string("\x15\x03\x01\x00\x02\x02\x46", 7), Outcome::tls_alert,
               "alert protocol version"},
          Case{std::string("\x16\x03\x03\x00\x04\x63\x00\x00\x00", 9), Outcome::tls_error, ""}}) {
        TlsSession session(*context, "", "");
        session.handshake();
        session.take_output();
        // One byte at a time, as a network may.
        for (const char byte : example.bytes) {
            session.receive(std::string_view(&byte, 1));
            session.handshake();
        }
        CAPTURE(example.bytes.size());
        CHECK(session.failed());
        CHECK(session.outcome() == example.outcome);
        CHECK(session.facts().tls_error.find(example.words) != std::string::npos);
        CHECK_FALSE(session.facts().certificate.has_value());
    }
}

TEST_CASE("a CA file that cannot be used is refused with its name") {
    const auto context = TlsContext::create("/nonexistent/ca.pem");
    REQUIRE_FALSE(context.has_value());
    CHECK(context.error().message.find("/nonexistent/ca.pem") != std::string::npos);
}

TEST_CASE("a ClientHello is filled up to the byte, and is else the one that Postfix sends") {
    const auto context = TlsContext::create("");
    REQUIRE(context.has_value());
    for (const char* name : {"", "mail.example.org"}) {
        const auto plain = shape_of(our_hello(name));
        for (const std::uint32_t bytes : {600U, 1400U, 1449U, 8000U, 16383U, 16384U}) {
            CAPTURE(bytes);
            TlsSession session(*context, name, "", bytes);
            session.handshake();
            REQUIRE_FALSE(session.failed());
            const auto hello = session.take_output();
            CHECK(hello.size() == bytes);
            auto filled = shape_of(hello);
            CHECK(filled.ciphers == plain.ciphers);
            CHECK(std::erase(filled.extensions, 0x7a7aU) == 1);
            auto unpadded = plain.extensions;
            std::erase(unpadded, 21U);
            CHECK(filled.extensions == unpadded);
        }
        TlsSession ordinary(*context, name, "", 0);
        ordinary.handshake();
        CHECK(shape_of(ordinary.take_output()) == plain);
        // Less than it has anyway: only the padding is left out.
        TlsSession least(*context, name, "", 1);
        least.handshake();
        auto unpadded = plain;
        std::erase(unpadded.extensions, 21U);
        const auto shape = shape_of(least.take_output());
        CHECK(shape.length < 500);
        CHECK(shape.extensions == unpadded.extensions);
        for (const auto more : {5U, 6U, 100U}) {
            const auto bytes = static_cast<std::uint32_t>(shape.length) + more;
            TlsSession session(*context, name, "", bytes);
            session.handshake();
            CHECK(session.take_output().size() == bytes);
        }
    }
}
