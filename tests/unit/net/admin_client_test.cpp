// SPDX-License-Identifier: Apache-2.0
#include "lib/net/admin_client.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <sys/socket.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/net/listener.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

// Takes one connection, reads the request, and writes `pieces` one after the other.
class Server {
  public:
    explicit Server(std::vector<std::string> pieces, bool keep_open = false)
        : listening_(listen_unix({path(), 0600, "", ""}).value_or(-1)),
          thread_([this, pieces = std::move(pieces), keep_open] { serve(pieces, keep_open); }) {}
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        ::shutdown(listening_.get(), SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
    }
    std::string path() const { return (directory_.path() / "admin.sock").string(); }
    const std::string& finish() {
        thread_.join();
        return request_;
    }

  private:
    void serve(const std::vector<std::string>& pieces, bool keep_open) {
        pollfd waiting{listening_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, 10'000) != 1) return;
        const Descriptor peer(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        char part[4096];
        while (request_.find("\r\n\r\n") == std::string::npos) {
            const auto got = ::recv(peer.get(), part, sizeof part, 0);
            if (got <= 0) return;
            request_.append(part, static_cast<std::size_t>(got));
        }
        for (const auto& piece : pieces)
            if (::send(peer.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
        if (keep_open)  // until the client leaves
            while (::recv(peer.get(), part, sizeof part, 0) > 0) continue;
    }

    sample::Directory directory_;
    Descriptor listening_;
    std::string request_;
    std::thread thread_;
};

std::string chunk(const std::string& text) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    return size + text + "\r\n";
}

constexpr auto short_time = std::chrono::milliseconds(300);
constexpr auto long_time = std::chrono::seconds(10);
const std::string stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

std::vector<std::string> lines_of(const Server& server, Result<void>& ended,
                                  std::size_t enough = 100) {
    std::vector<std::string> lines;
    ended = admin_stream(server.path(), "/v1/events", [&](std::string_view line) {
        lines.emplace_back(line);
        return lines.size() < enough;
    });
    return lines;
}

}  // namespace

TEST_CASE("a question gets its answer, with status and body") {
    Server server({"HTTP/1.1 200 OK\r\nContent-Le", "ngth: 8\r\n\r\n{\"a\"", ":1}\n"});
    const auto answer = admin_request(server.path(), "GET", "/v1/destinations", "", long_time);
    REQUIRE_MESSAGE(answer, (answer ? "" : answer.error().message));
    CHECK(answer->status == 200);
    CHECK(answer->body == "{\"a\":1}\n");
    CHECK(server.finish().rfind("GET /v1/destinations HTTP/1.1\r\n", 0) == 0);
}

TEST_CASE("a request carries its body, an error answer is an answer") {
    Server server({"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"});
    const auto answer = admin_request(server.path(), "POST", "/v1/probe", "{\"x\":1}", long_time);
    REQUIRE(answer);
    CHECK(answer->status == 404);
    const auto& request = server.finish();
    CHECK(request.find("Content-Length: 7\r\n") != std::string::npos);
    CHECK(request.find("Content-Type: application/json\r\n") != std::string::npos);
}

TEST_CASE("a daemon that is not there is told from one that is silent") {
    const sample::Directory directory;
    const auto path = (directory.path() / "admin.sock").string();
    auto answer = admin_request(path, "GET", "/healthz", "", long_time);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::not_found);
    CHECK(answer.error().message.find("not running") != std::string::npos);

    {
        const Descriptor gone(listen_unix({path, 0600, "", ""}).value_or(-1));
    }
    answer = admin_request(path, "GET", "/healthz", "", long_time);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::refused);

    Server silent({}, true);
    answer = admin_request(silent.path(), "GET", "/healthz", "", short_time);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::timed_out);
    Server slow({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"}, true);
    answer = admin_request(slow.path(), "GET", "/healthz", "", short_time);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::timed_out);
}

TEST_CASE("answers that are not HTTP, cut short or too long are errors") {
    const std::vector<std::vector<std::string>> cases = {
        {},
        {"hello\r\n\r\n"},
        {std::string(100'000, '\0')},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"},
    };
    for (std::size_t i = 0; i < cases.size(); ++i) {
        CAPTURE(i);
        Server server(cases[i]);
        const auto answer = admin_request(server.path(), "GET", "/", "", long_time);
        REQUIRE_FALSE(answer);
        CHECK(answer.error().message.find(server.path()) != std::string::npos);
    }
}

TEST_CASE("requests that would not be one request are refused before anything is sent") {
    for (const auto* target : {"", "v1", "/a b", "/a\r\nX: y"}) {
        const auto answer = admin_request("/nowhere", "GET", target, "", short_time);
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == ErrorCode::invalid_input);
        const auto stream = admin_stream("/nowhere", target, [](std::string_view) { return true; });
        REQUIRE_FALSE(stream);
        CHECK(stream.error().code == ErrorCode::invalid_input);
    }
    CHECK_FALSE(admin_request("/nowhere", "GE T", "/", "", short_time));
    CHECK_FALSE(admin_request(std::string(300, '/'), "GET", "/", "", short_time));
    CHECK_FALSE(admin_stream("", "/", [](std::string_view) { return true; }));
}

TEST_CASE("a stream gives its lines one by one, however they are split") {
    const std::string all = stream_head + chunk("{\"n\":1}\n{\"n\"") + chunk(":2}") +
                            chunk("\n\n{\"n\":3}\n") + chunk("{\"n\":4}") + "0\r\n\r\n";
    const std::vector<std::string> expected = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}"};
    for (std::size_t cut = 1; cut < all.size(); cut += 3) {
        CAPTURE(cut);
        Server server({all.substr(0, cut), all.substr(cut)});
        Result<void> ended;
        CHECK(lines_of(server, ended) == expected);
        CHECK(ended);
    }
}

TEST_CASE("a stream gives a line as soon as it is there, and ends when the caller has enough") {
    Server server({stream_head + chunk("{\"n\":1}\n") + chunk("{\"n\":2}\n")}, true);
    Result<void> ended;
    CHECK(lines_of(server, ended, 2).size() == 2);
    CHECK(ended);
}

TEST_CASE("a stream that is refused, cut, or has no line ends is an error") {
    Result<void> ended;
    {
        Server server({"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nno\x1b[m"});
        CHECK(lines_of(server, ended).empty());
        REQUIRE_FALSE(ended);
        CHECK(ended.error().code == ErrorCode::not_found);
        CHECK(ended.error().message.find('\x1b') == std::string::npos);
    }
    {
        Server server({stream_head + chunk("{\"n\":1}\n") + "10\r\nabc"});
        CHECK(lines_of(server, ended).size() == 1);
        CHECK_FALSE(ended);
    }
    {
        Server server({stream_head + chunk(std::string(3 << 20, 'x'))}, true);
        CHECK(lines_of(server, ended).empty());
        CHECK_FALSE(ended);
    }
}

}  // namespace postfathom
