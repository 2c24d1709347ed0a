// SPDX-License-Identifier: Apache-2.0
// A connection whose request cannot be served, beside others.
#include "policyd/connection.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <new>
#include <string>
#include <utility>

#include "lib/base/descriptor.hpp"
#include "lib/net/hook_times.hpp"

namespace postfathom {
namespace {

// Answers each byte with itself; an 'm' takes more memory than there is, at once or after a pause.
class Echo final : public Session {
  public:
    Next feed(std::string_view& bytes, std::string& out) override {
        const auto text = std::exchange(bytes, {});
        if (text == "m") throw std::bad_alloc();
        out += text;
        return text == "p" ? Next::pause : Next::read;
    }
    Next resume(std::string&) override { throw std::bad_alloc(); }
    bool mid_request() const override { return false; }
};

struct Line {
    explicit Line(boost::asio::io_context& io) {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        client = Descriptor(ends[0]);
        connection = std::make_shared<Connection>(
            Connection::Socket(io, boost::asio::generic::stream_protocol(AF_UNIX, 0), ends[1]),
            times, [this](Connection&) { ++closed; });
        connection->start(std::make_unique<Echo>());
    }
    std::string ask(boost::asio::io_context& io, char letter) const {
        REQUIRE(::send(client.get(), &letter, 1, MSG_NOSIGNAL) == 1);
        io.restart();
        io.poll();
        char answer = 0;
        const auto count = ::recv(client.get(), &answer, 1, MSG_DONTWAIT);
        if (count == 0) return "closed";
        return count < 0 ? "nothing" : std::string(1, answer);
    }

    HookTimer times{HookSocket::policy};
    Descriptor client;
    std::shared_ptr<Connection> connection;
    int closed = 0;
};

// Answers more than a socket holds, at once and again after a pause; then pauses at each byte.
class Flood final : public Session {
  public:
    explicit Flood(int& fed_while_paused) : fed_while_paused_(fed_while_paused) {}
    Next feed(std::string_view& bytes, std::string& out) override {
        if (paused_) ++fed_while_paused_;
        if (!flooded_) out.append(flood, 'x');
        bytes = {};
        paused_ = true;
        return Next::pause;
    }
    Next resume(std::string& out) override {
        out.append(std::exchange(flooded_, true) ? 1 : flood, 'y');
        paused_ = false;
        return Next::read;
    }
    bool mid_request() const override { return false; }

    static constexpr std::size_t flood = 4 << 20;

  private:
    int& fed_while_paused_;
    bool paused_ = false;
    bool flooded_ = false;
};

}  // namespace

TEST_CASE("a client that reads late is read from once, and not while its answer is due") {
    boost::asio::io_context io;
    Line line(io);
    int fed_while_paused = 0;
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    const Descriptor client(ends[0]);
    const auto connection = std::make_shared<Connection>(
        Connection::Socket(io, boost::asio::generic::stream_protocol(AF_UNIX, 0), ends[1]),
        line.times, [](Connection&) {});
    connection->start(std::make_unique<Flood>(fed_while_paused));
    const auto run = [&] {
        io.restart();
        io.poll();
    };
    REQUIRE(::send(client.get(), "a", 1, MSG_NOSIGNAL) == 1);
    run();
    connection->resume();
    std::string got;
    std::array<char, 65536> buffer{};
    for (;;) {
        const auto count = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count <= 0 && got.size() == 2 * Flood::flood) break;
        if (count > 0) got.append(buffer.data(), static_cast<std::size_t>(count));
        REQUIRE(got.size() <= 2 * Flood::flood);
        run();
    }
    for (const char* byte : {"b", "c"}) {
        REQUIRE(::send(client.get(), byte, 1, MSG_NOSIGNAL) == 1);
        run();
    }
    CHECK(fed_while_paused == 0);
    connection->close();
}

TEST_CASE("a request that memory does not suffice for ends its connection, and no other") {
    boost::asio::io_context io;
    Line other(io);
    Line line(io);
    CHECK(line.ask(io, 'a') == "a");
    SUBCASE("when it is read") { CHECK(line.ask(io, 'm') == "closed"); }
    SUBCASE("when its answer is due") {
        CHECK(line.ask(io, 'p') == "p");
        line.connection->resume();
        char byte = 0;
        CHECK(::recv(line.client.get(), &byte, 1, MSG_DONTWAIT) == 0);
    }
    CHECK(line.closed == 1);
    CHECK(other.ask(io, 'b') == "b");
    CHECK(other.closed == 0);
}

}  // namespace postfathom
