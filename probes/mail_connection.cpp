// SPDX-License-Identifier: Apache-2.0
#include "probes/mail_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "lib/base/descriptor.hpp"
#include "lib/net/deadline.hpp"
#include "probes/socket_address.hpp"
#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Nothing depends on the answer to QUIT.
constexpr Millis quit_patience{2000};

void set_option(int socket, int level, int name, int value) {
    ::setsockopt(socket, level, name, &value, sizeof value);
}

// `before_sending`: the error came at once, so it is ours and not the network's.
Outcome outcome_of(int error, bool before_sending) {
    switch (error) {
        case ECONNREFUSED:
            return Outcome::refused;
        case ECONNRESET:
        case EPIPE:
            return Outcome::reset;
        case ETIMEDOUT:
            return Outcome::timed_out;
        case ENETUNREACH:
        case EADDRNOTAVAIL:
        case EAFNOSUPPORT:
        case ENODEV:
            return before_sending ? Outcome::no_route : Outcome::unreachable;
        // Nothing was asked of the server: no word about it.
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
            return before_sending ? Outcome::cancelled : Outcome::unreachable;
        default:
            return Outcome::unreachable;
    }
}

}  // namespace

MailConnection::MailConnection(const ProbePlan& plan, ConnectionShape shape, PhaseSink on_phase)
    : plan_(plan),
      shape_(shape),
      on_phase_(std::move(on_phase)),
      dialog_(make_dialog(plan.endpoint.service, plan.ehlo_name)),
      allowed_(shape.allow.value_or(PathMtu{})),
      started_(Clock::now()),
      phase_started_(started_) {
    if (shape.hold_after_ehlo) dialog_->hold_after_ehlo();
}

MailConnection::~MailConnection() { close(); }

void MailConnection::close() {
    if (!socket_) return;
    if (outcome_ != Outcome::ok) {
        const linger reset{1, 0};
        ::setsockopt(socket_->native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    drop_socket();
}

void MailConnection::drop_socket() {
    socket_.reset();
    if (plan_.pace) plan_.pace->closed();
}

void MailConnection::enter(Phase phase) {
    if (phase == reached_ && phase != Phase::connect) return;
    const auto now = Clock::now();
    if (phase != Phase::connect)
        timings_.push_back({reached_, Seconds(now - phase_started_).count()});
    phase_started_ = now;
    reached_ = phase;
    if (on_phase_) on_phase_(phase);
}

void MailConnection::end(Outcome outcome) {
    outcome_ = outcome;
    const auto now = Clock::now();
    timings_.push_back({reached_, Seconds(now - phase_started_).count()});
    phase_started_ = now;
    seconds_ = Seconds(now - started_).count();
    if (const auto now_counted = counters()) counters_ = *now_counted;
}

std::optional<TcpCounters> MailConnection::counters() {
    if (!socket_) return std::nullopt;
    return tcp_counters(socket_->native_handle());
}

// Without a limit of ours the size is not known before the SYN-ACK. A server's own segment size
// tells how large its packets are where it is that of an Ethernet or more. A smaller one can be a
// router's, which rewrote it to limit what *we* send: the server then sends what our SYN allows.
void MailConnection::learn_size() {
    const auto known = counters();
    if (!known || shape_.allow) return;
    const auto family = plan_.endpoint.address.family();
    const auto ours = known->advertised_mss + option_bytes(*known);
    const auto theirs = std::max(known->peer_mss, mss_for(ethernet_mtu, family).bytes);
    allowed_ = path_mtu_for(Mss{std::min(ours, theirs)}, family);
}

std::optional<Outcome> MailConnection::open_socket() {
    const auto& address = plan_.endpoint.address;
    Descriptor raw(::socket(address.family() == IpFamily::v4 ? AF_INET : AF_INET6,
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!raw) return outcome_of(errno, true);
    set_option(raw.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    if (shape_.allow) {
        // Makes our SYN advertise it: the server's packets then are at most that large, with or
        // without timestamps.
        const auto mss = static_cast<int>(mss_for(*shape_.allow, address.family()).bytes);
        if (::setsockopt(raw.get(), IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss) != 0)
            return Outcome::cancelled;
    }
    if (plan_.source) {
        const auto from = socket_address(*plan_.source, 0);
        if (::bind(raw.get(), from.get(), from.length) != 0) return outcome_of(errno, true);
    }
    const auto to = socket_address(address, plan_.endpoint.port);
    const int result = ::connect(raw.get(), to.get(), to.length);
    if (result != 0 && errno != EINPROGRESS) return outcome_of(errno, true);
    // The SYN is out; what the SYN-ACK makes of our own segment size is decided only now.
    if (shape_.receive_only) set_option(raw.get(), IPPROTO_TCP, TCP_MAXSEG, 0);
    local_ = local_address_of(raw.get());
    socket_->assign(raw.release());
    return std::nullopt;
}

asio::awaitable<std::optional<Outcome>> MailConnection::connect() {
    socket_.emplace(co_await asio::this_coro::executor);
    if (plan_.pace) plan_.pace->opened();
    if (const auto trouble = open_socket()) {
        drop_socket();
        co_return trouble;
    }
    const auto limit = std::min(started_ + plan_.connect_timeout, plan_.deadline);
    const bool done = co_await ready(WaitType::wait_write, limit);
    if (!done) co_return Clock::now() >= plan_.deadline ? Outcome::cancelled : Outcome::timed_out;
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket_->native_handle(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) co_return outcome_of(error, false);
    learn_size();
    co_return std::nullopt;
}

asio::awaitable<bool> MailConnection::ready(WaitType type, Time until) {
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) co_return false;
    const auto done = co_await with_deadline(left, socket_->async_wait(type, use_result));
    co_return done.has_value() && !std::get<0>(*done);
}

MailConnection::Received MailConnection::receive() {
    std::array<char, 16384> buffer{};
    const auto length =
        ::recv(socket_->native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length > 0) return {std::string(buffer.data(), static_cast<std::size_t>(length)), {}};
    if (length == 0) return {{}, Outcome::closed};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {};
    return {{}, outcome_of(errno, false)};
}

bool MailConnection::send_segment(std::string_view bytes) {
    const auto length = ::send(socket_->native_handle(), bytes.data(), bytes.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR);
    return length >= 0 && static_cast<std::size_t>(length) == bytes.size();
}

asio::awaitable<bool> MailConnection::send(std::string bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const auto length = ::send(socket_->native_handle(), bytes.data() + sent,
                                   bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (length > 0) {
            sent += static_cast<std::size_t>(length);
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) co_return false;
        const auto limit = std::min(Clock::now() + plan_.reply_timeout, plan_.deadline);
        const bool writable = co_await ready(WaitType::wait_write, limit);
        if (!writable) co_return false;
    }
    co_return true;
}

MailConnection::Time MailConnection::phase_deadline() const {
    const bool only_quit = reached_ == Phase::quit || dialog_->outcome() != Outcome::ok;
    const auto patience = only_quit                     ? quit_patience
                          : reached_ == Phase::greeting ? plan_.greeting_timeout
                                                        : plan_.reply_timeout;
    return std::min(phase_started_ + patience, plan_.deadline);
}

void MailConnection::give_up_when_late() {
    if (dialog_->step() != Dialog::Step::wait) return;
    const auto now = Clock::now();
    if (now >= phase_deadline())
        dialog_->interrupted(now >= plan_.deadline ? Outcome::cancelled : Outcome::timed_out);
}

// In clear text, or inside `session`.
//
// Throughout, a co_await stands in a statement of its own: g++ 12 breaks a coroutine that returns
// early from an `if` whose condition waits.
asio::awaitable<void> MailConnection::converse(TlsSession* session) {
    while (dialog_->step() == Dialog::Step::wait) {
        // A server that sends its session tickets one by one holds back the next one, and its reply
        // behind them, until the first is acknowledged (RFC 896), for which our kernel would wait.
        if (session != nullptr && socket_)
            set_option(socket_->native_handle(), IPPROTO_TCP, TCP_QUICKACK, 1);
        auto output = dialog_->take_output();
        if (session != nullptr) {
            session->write(output);
            output = session->take_output();
        }
        // When sending fails, receiving tells why.
        if (!output.empty()) co_await send(std::move(output));
        enter(dialog_->phase());
        const auto received = receive();
        if (received.trouble) {
            dialog_->interrupted(*received.trouble);
        } else if (!received.bytes.empty()) {
            if (session != nullptr) {
                session->receive(received.bytes);
                dialog_->receive(session->read());
                if (session->failed()) dialog_->interrupted(session->outcome());
            } else {
                dialog_->receive(received.bytes);
            }
        } else {
            co_await ready(WaitType::wait_read, phase_deadline());
        }
        // The time is the phase's and not a byte's: a server that drips gets no more of it.
        give_up_when_late();
    }
}

asio::awaitable<void> MailConnection::wait_for_turn() {
    if (!plan_.pace) co_return;
    const auto turn = plan_.pace->next(Clock::now());
    const auto left = std::min(turn, plan_.deadline) - Clock::now();
    if (left > Clock::duration::zero()) co_await pause(left);
    started_ = phase_started_ = Clock::now();
}

asio::awaitable<void> MailConnection::open() {
    co_await wait_for_turn();
    enter(Phase::connect);
    const auto trouble = co_await connect();
    if (trouble) {
        end(*trouble);
        close();
        co_return;
    }
    if (dialog_->step() == Dialog::Step::wait) {
        enter(Phase::greeting);
        co_await converse(nullptr);
        // What came in segments of its own right behind the reply to STARTTLS.
        if (ready_for_tls()) dialog_->receive(receive().bytes);
    }
    if (dialog_->step() != Dialog::Step::close) co_return;
    end(dialog_->outcome());
    close();
}

bool MailConnection::ready_for_tls() const {
    return socket_ && dialog_->step() == Dialog::Step::start_tls;
}

asio::awaitable<void> MailConnection::finish_inside(TlsSession& session) {
    dialog_->tls_established();
    co_await converse(&session);
    session.close();
    auto goodbye = session.take_output();
    // Nobody waits for it.
    if (!goodbye.empty() && socket_) send_segment(goodbye);
    end(dialog_->outcome());
    close();
}

}  // namespace postfathom
