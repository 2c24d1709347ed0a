// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/mail_peer.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace postfathom::bench {

namespace {

enum class Side { client, server, mute_server };
enum class State { under_way, done, failed };

struct FreeSession {
    void operator()(SSL* session) const { SSL_free(session); }
};

constexpr std::string_view ehlo = "EHLO client.example.org\r\n";

// One conversation, at one of its ends. Everything that is said fits in the socket's buffer.
class Talk {
  public:
    Talk(Descriptor socket, SSL_CTX& context, Side side)
        : socket_(std::move(socket)), context_(context), side_(side) {
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (side_ != Side::client) say("220 mail.example.org ESMTP\r\n");
    }

    int socket() const { return socket_.get(); }

    // As far as it can go without waiting.
    State go_on() {
        while (state_ == State::under_way) {
            if (session_ && !established_) {
                if (!shake()) break;
            } else if (!read()) {
                break;
            }
        }
        return state_;
    }

  private:
    bool shake() {
        const int result = SSL_do_handshake(session_.get());
        if (result != 1) return keep_waiting(result);
        established_ = true;
        if (side_ == Side::client) say(ehlo);
        return true;
    }

    bool read() {
        std::array<char, 4096> buffer;  // NOLINT: written before it is read
        const auto length = session_ ? SSL_read(session_.get(), buffer.data(), buffer.size())
                                     : ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (length <= 0) return keep_waiting(static_cast<int>(length));
        text_.append(buffer.data(), static_cast<std::size_t>(length));
        if (!text_.ends_with('\n')) return true;
        if (side_ == Side::client)
            hear_reply();
        else
            hear_command();
        return true;
    }

    bool keep_waiting(int result) {
        const bool would_block = session_
                                     ? SSL_get_error(session_.get(), result) == SSL_ERROR_WANT_READ
                                     : result < 0 && errno == EAGAIN;
        if (!would_block) state_ = State::failed;
        return false;
    }

    // One reply at a time: its last line has a space behind the code.
    void hear_reply() {
        const auto before =
            text_.size() < 2 ? std::string::npos : text_.rfind('\n', text_.size() - 2);
        const auto last = before == std::string::npos ? 0 : before + 1;
        if (text_.size() < last + 4 || text_[last] != '2') {
            state_ = State::failed;
            return;
        }
        if (text_[last + 3] != ' ') return;
        text_.clear();
        switch (step_++) {
            case 0:
                return say(ehlo);
            case 1:
                return say("STARTTLS\r\n");
            case 2:
                return start_tls();
            case 3:
                return say("QUIT\r\n");
            default:
                SSL_shutdown(session_.get());
                state_ = State::done;
        }
    }

    void hear_command() {
        const auto command = std::exchange(text_, {});
        if (command.starts_with("EHLO")) {
            say(session_
                    ? "250-mail.example.org\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
                    : "250-mail.example.org\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n");
        } else if (command.starts_with("STARTTLS")) {
            say("220 2.0.0 Ready to start TLS\r\n");
            if (side_ == Side::server) start_tls();
        } else if (command.starts_with("QUIT")) {
            say("221 2.0.0 Bye\r\n");
            state_ = State::done;
        } else if (side_ == Side::server) {
            state_ = State::failed;
        }
    }

    void start_tls() {
        session_.reset(SSL_new(&context_));
        SSL_set_fd(session_.get(), socket_.get());
        if (side_ == Side::client)
            SSL_set_connect_state(session_.get());
        else
            SSL_set_accept_state(session_.get());
    }

    void say(std::string_view words) {
        const auto length = static_cast<ssize_t>(words.size());
        const auto sent = session_
                              ? SSL_write(session_.get(), words.data(), static_cast<int>(length))
                              : ::send(socket_.get(), words.data(), words.size(), MSG_NOSIGNAL);
        if (sent != length) state_ = State::failed;
    }

    Descriptor socket_;
    SSL_CTX& context_;
    Side side_;
    std::unique_ptr<SSL, FreeSession> session_;
    bool established_ = false;
    std::string text_;
    int step_ = 0;
    State state_ = State::under_way;
};

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

// The conversations that are under way.
class Loop {
  public:
    Loop(SSL_CTX& context, Side side)
        : context_(context), side_(side), events_(::epoll_create1(EPOLL_CLOEXEC)) {}

    void watch(int descriptor, std::uint32_t what) {
        epoll_event event{};
        event.events = what;
        event.data.fd = descriptor;
        ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, descriptor, &event);
    }

    void add(Descriptor socket) {
        const int number = socket.get();
        talks_.insert_or_assign(number, std::make_unique<Talk>(std::move(socket), context_, side_));
        watch(number, EPOLLIN);
    }

    // Waits, and calls `over(state)` for each conversation that came to its end, and `other()` for
    // what is watched beside them.
    template <typename Over, typename Other>
    void once(Over over, Other other) {
        std::array<epoll_event, 64> ready{};
        const int count = ::epoll_wait(events_.get(), ready.data(), ready.size(), -1);
        for (int i = 0; i < count; ++i) {
            const auto found = talks_.find(ready[static_cast<std::size_t>(i)].data.fd);
            if (found == talks_.end()) {
                other();
                continue;
            }
            const auto state = found->second->go_on();
            ERR_clear_error();
            if (state == State::under_way) continue;
            talks_.erase(found);
            over(state);
        }
    }

    bool empty() const { return talks_.empty(); }

  private:
    SSL_CTX& context_;
    Side side_;
    Descriptor events_;
    std::unordered_map<int, std::unique_ptr<Talk>> talks_;
};

Descriptor connect_to(std::uint16_t port) {
    Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto to = loopback(port);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS)
        socket.reset();
    return socket;
}

Context told(Context context, bool usable) {
    if (usable) return context;
    ERR_print_errors_fp(stderr);
    return nullptr;
}

}  // namespace

Context server_context(const std::string& chain_file, const std::string& key_file) {
    Context context(SSL_CTX_new(TLS_server_method()));
    const bool usable =
        SSL_CTX_use_certificate_chain_file(context.get(), chain_file.c_str()) == 1 &&
        SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) == 1;
    return told(std::move(context), usable);
}

Context client_context(const std::string& ca_file) {
    Context context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    const bool usable = SSL_CTX_load_verify_file(context.get(), ca_file.c_str()) == 1;
    return told(std::move(context), usable);
}

Listening listen_on_loopback() {
    Listening result{Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))};
    auto address = loopback(0);
    socklen_t length = sizeof address;
    auto* where = reinterpret_cast<sockaddr*>(&address);
    if (::bind(result.socket.get(), where, sizeof address) != 0 ||
        ::listen(result.socket.get(), 4096) != 0 ||
        ::getsockname(result.socket.get(), where, &length) != 0) {
        std::perror("bench: listen");
        result.socket.reset();
    }
    result.port = ntohs(address.sin_port);
    return result;
}

int serve(const Listening& listening, SSL_CTX& context, bool mute) {
    Loop loop(context, mute ? Side::mute_server : Side::server);
    loop.watch(listening.socket.get(), EPOLLIN);
    const auto over = [](State) {};
    const auto accept = [&] {
        Descriptor peer(
            ::accept4(listening.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (peer) loop.add(std::move(peer));
    };
    while (true) loop.once(over, accept);
}

int converse(std::uint16_t port, SSL_CTX& context, int at_a_time,
             const std::function<bool(int done)>& enough) {
    Loop loop(context, Side::client);
    int done = 0;
    bool failed = false;
    const auto begin = [&] {
        auto socket = connect_to(port);
        failed = failed || !socket;
        if (socket) loop.add(std::move(socket));
    };
    const auto over = [&](State state) {
        failed = failed || state == State::failed;
        ++done;
        if (!failed && !enough(done)) begin();
    };
    for (int i = 0; i < at_a_time; ++i) begin();
    while (!loop.empty() && !failed) loop.once(over, [] {});
    return failed ? -1 : done;
}

}  // namespace postfathom::bench
