// SPDX-License-Identifier: Apache-2.0
#include "policyd/connection.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"

namespace postfathom {

namespace {

// Larger than any request that Postfix sends; what is longer comes in pieces.
constexpr std::size_t read_bytes = 16 * 1024;
// An idle connection keeps no more memory than this for answers to come.
constexpr std::size_t kept_bytes = 4 * 1024;

}  // namespace

Connection::Connection(Socket socket, HookTimer& times, std::function<void(Connection&)> on_close)
    : socket_(std::move(socket)), times_(times), on_close_(std::move(on_close)) {}

void Connection::start(std::unique_ptr<Session> session) {
    session_ = std::move(session);
    wait_readable();
}

void Connection::close() {
    if (!socket_.is_open()) return;
    boost::system::error_code ignored;
    socket_.close(ignored);
    on_close_(*this);
}

void Connection::wait_readable() {
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](boost::system::error_code error) {
                           if (!error) self->read();
                       });
}

void Connection::read() {
    if (!socket_.is_open()) return;
    // One thread, and a session keeps what it needs: all connections share one buffer.
    static std::array<char, read_bytes> buffer;
    const auto count = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count > 0) return take({buffer.data(), static_cast<std::size_t>(count)});
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return wait_readable();
    close();  // the client is gone; a half request with it
}

// A request that memory does not suffice for ends its connection and nothing else: Postfix goes on
// with what it does when nobody answers.
template <typename Work>
void Connection::contain(Work work) {
    try {
        work();
    } catch (const std::exception& caught) {
        log::error("a request broke off, its connection is closed: {}", printable(caught.what()));
        close();
    }
}

void Connection::take(std::string_view bytes) {
    asked_at_ = std::chrono::steady_clock::now();
    contain([&] {
        const auto next = session_->feed(bytes, out_);
        go_on(next, bytes);
    });
}

void Connection::resume() {
    if (paused_ && socket_.is_open()) contain([this] { resume_session(); });
}

void Connection::resume_session() {
    auto next = session_->resume(out_);
    if (next == Session::Next::pause) return;
    paused_ = false;
    const auto left = std::exchange(left_, {});
    std::string_view bytes = left;
    if (next == Session::Next::read && !bytes.empty()) next = session_->feed(bytes, out_);
    go_on(next, bytes);
}

void Connection::go_on(Session::Next next, std::string_view left) {
    paused_ = next == Session::Next::pause;
    closing_ = next == Session::Next::close;
    if (paused_) left_ = left;
    const bool answered = !out_.empty();
    const bool written = write();
    if (!socket_.is_open()) return;
    const auto now = std::chrono::steady_clock::now();
    if (answered) times_.add(now - asked_at_);
    // A client may send the next request before it has read; each answer is a new beginning.
    if (written && (paused_ || !session_->mid_request())) {
        owing_since_.reset();
    } else if (!owing_since_ || (written && answered)) {
        owing_since_ = now;
    }
    if (!written) return;
    if (closing_) return close();
    if (!paused_) wait_readable();
}

// True when everything is written. A client that does not read is not read from either.
bool Connection::write() {
    std::string_view rest = out_;
    while (!rest.empty()) {
        const auto count =
            ::send(socket_.native_handle(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            out_.erase(0, out_.size() - rest.size());
            wait_writable();
            return false;
        } else if (errno != EINTR) {
            close();
            return false;
        }
    }
    out_.clear();
    if (out_.capacity() > kept_bytes) out_.shrink_to_fit();
    return true;
}

// Once at a time: who comes back begins to read again, and two readers would feed one session.
void Connection::wait_writable() {
    if (std::exchange(waits_to_write_, true)) return;
    socket_.async_wait(Socket::wait_write,
                       [self = shared_from_this()](boost::system::error_code error) {
                           self->waits_to_write_ = false;
                           if (error || !self->socket_.is_open() || !self->write()) return;
                           self->owing_since_.reset();
                           if (self->closing_) return self->close();
                           if (!self->paused_) self->wait_readable();
                       });
}

}  // namespace postfathom
