// SPDX-License-Identifier: Apache-2.0
// One client of a socket of ours: moves bytes between the socket and a Session, which knows the
// protocol. Per request: one wait, one read, one write.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/net/hook_times.hpp"

namespace postfathom {

class Connection;

// The protocol's side of a connection.
class Session {
  public:
    enum class Next {
        read,   // all bytes were taken
        pause,  // an answer is due first; Connection::resume() goes on with the bytes that are left
        close,
    };
    virtual ~Session() = default;
    // Takes bytes from the front of `bytes` and appends answers to `out`.
    virtual Next feed(std::string_view& bytes, std::string& out) = 0;
    // While paused: appends the answer if it is ready now.
    virtual Next resume(std::string& out) = 0;
    // Some of a request was taken, and not all of it.
    virtual bool mid_request() const = 0;
};

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    using Socket = boost::asio::generic::stream_protocol::socket;  // UNIX or TCP
    using Time = std::chrono::steady_clock::time_point;

    // `on_close` is called once, when the connection has ended. `times` outlives the connection.
    Connection(Socket socket, HookTimer& times, std::function<void(Connection&)> on_close);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start(std::unique_ptr<Session> session);
    void resume();
    void close();

    // Since when the client owes us the rest of a request, or has not taken all of an answer.
    std::optional<Time> owing_since() const { return owing_since_; }

  private:
    template <typename Work>
    void contain(Work work);
    void resume_session();
    void wait_readable();
    void read();
    void take(std::string_view bytes);
    void go_on(Session::Next next, std::string_view left);
    bool write();
    void wait_writable();

    Socket socket_;
    HookTimer& times_;
    std::function<void(Connection&)> on_close_;
    std::unique_ptr<Session> session_;
    std::string out_;   // not yet written
    std::string left_;  // read, and not yet taken by the session
    bool paused_ = false;
    bool closing_ = false;  // after out_ is written
    bool waits_to_write_ = false;
    std::optional<Time> owing_since_;
    Time asked_at_{};  // when the bytes came that are worked on
};

}  // namespace postfathom
