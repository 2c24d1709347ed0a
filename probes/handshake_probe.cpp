// SPDX-License-Identifier: Apache-2.0
#include "probes/handshake_probe.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/descriptor.hpp"
#include "lib/net/deadline.hpp"
#include "probes/socket_address.hpp"
#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
using Descriptor_ = asio::posix::stream_descriptor;

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
        default:
            return Outcome::unreachable;
    }
}

}  // namespace

HandshakeProbe::HandshakeProbe(const ProbePlan& plan, const TlsContext& tls,
                               std::optional<PathMtu> allow, Seconds patience,
                               std::function<void(Phase)> on_phase)
    : plan_(plan),
      tls_(tls),
      allow_(allow),
      patience_(patience),
      on_phase_(std::move(on_phase)),
      dialog_(plan.endpoint.service, plan.ehlo_name),
      started_(Clock::now()),
      phase_started_(started_) {
    attempt_.clamped = allow.has_value();
    if (allow) attempt_.allowed = *allow;
}

HandshakeProbe::~HandshakeProbe() { close(); }

void HandshakeProbe::close() {
    if (!socket_) return;
    if (attempt_.outcome != Outcome::ok) {
        const linger reset{1, 0};
        ::setsockopt(socket_->native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    socket_.reset();
}

void HandshakeProbe::enter(Phase phase) {
    if (phase == attempt_.reached && phase != Phase::connect) return;
    const auto now = Clock::now();
    if (phase != Phase::connect)
        timings_.push_back({attempt_.reached, Seconds(now - phase_started_).count()});
    phase_started_ = now;
    attempt_.reached = phase;
    if (on_phase_) on_phase_(phase);
}

void HandshakeProbe::end(Outcome outcome) {
    attempt_.outcome = outcome;
    const auto now = Clock::now();
    timings_.push_back({attempt_.reached, Seconds(now - phase_started_).count()});
    phase_started_ = now;
    attempt_.seconds = Seconds(now - started_).count();
    take_counters();
}

// The upper limit of the first attempt is not known before the SYN-ACK.
void HandshakeProbe::learn_size() {
    const auto counters = tcp_counters(socket_->native_handle());
    if (!counters || attempt_.clamped) return;
    const auto ours = counters->advertised_mss + option_bytes(*counters);
    attempt_.allowed =
        path_mtu_for(Mss{std::min(ours, counters->peer_mss)}, plan_.endpoint.address.family());
}

void HandshakeProbe::take_counters() {
    if (!socket_) return;
    if (const auto counters = tcp_counters(socket_->native_handle())) attempt_.counters = *counters;
    attempt_.small_received = attempt_.counters.data_segments_in;
    if (rule_) attempt_.largest_received = rule_->largest_received();
}

std::optional<Outcome> HandshakeProbe::open_socket() {
    const auto& address = plan_.endpoint.address;
    Descriptor raw(::socket(address.family() == IpFamily::v4 ? AF_INET : AF_INET6,
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!raw) return outcome_of(errno, true);
    set_option(raw.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    if (allow_) {
        // Makes our SYN advertise it: the server's packets then are at most that large, with or
        // without timestamps. Needs no privilege.
        const auto mss = static_cast<int>(mss_for(*allow_, address.family()).bytes);
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
    local_ = local_address_of(raw.get());
    socket_->assign(raw.release());
    return std::nullopt;
}

asio::awaitable<std::optional<Outcome>> HandshakeProbe::connect() {
    socket_.emplace(co_await asio::this_coro::executor);
    if (const auto trouble = open_socket()) {
        socket_.reset();
        co_return trouble;
    }
    const auto limit = std::min(started_ + plan_.connect_timeout, plan_.deadline);
    const bool done = co_await ready(Descriptor_::wait_write, limit);
    if (!done) co_return Clock::now() >= plan_.deadline ? Outcome::cancelled : Outcome::timed_out;
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket_->native_handle(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) co_return outcome_of(error, false);
    learn_size();
    co_return std::nullopt;
}

asio::awaitable<bool> HandshakeProbe::ready(Descriptor_::wait_type type, Time until) {
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) co_return false;
    const auto done = co_await with_deadline(left, socket_->async_wait(type, use_result));
    co_return done.has_value() && !std::get<0>(*done);
}

HandshakeProbe::Received HandshakeProbe::receive() {
    std::array<char, 16384> buffer;
    const auto length =
        ::recv(socket_->native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length > 0) return {std::string(buffer.data(), static_cast<std::size_t>(length)), {}};
    if (length == 0) return {{}, Outcome::closed};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {};
    return {{}, outcome_of(errno, false)};
}

asio::awaitable<bool> HandshakeProbe::send(std::string bytes) {
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
        const bool writable = co_await ready(Descriptor_::wait_write, limit);
        if (!writable) co_return false;
    }
    co_return true;
}

HandshakeProbe::Time HandshakeProbe::phase_deadline() const {
    const bool only_quit = attempt_.reached == Phase::quit || dialog_.outcome() != Outcome::ok;
    const auto patience = only_quit                             ? quit_patience
                          : attempt_.reached == Phase::greeting ? plan_.greeting_timeout
                                                                : plan_.reply_timeout;
    return std::min(phase_started_ + patience, plan_.deadline);
}

void HandshakeProbe::give_up_when_late() {
    const auto now = Clock::now();
    if (now >= phase_deadline())
        dialog_.interrupted(now >= plan_.deadline ? Outcome::cancelled : Outcome::timed_out);
}

// The dialog in clear text before the handshake, inside TLS after it.
//
// Throughout, a co_await stands in a statement of its own: g++ 12 breaks a coroutine that returns
// early from an `if` whose condition waits.
asio::awaitable<void> HandshakeProbe::converse() {
    while (dialog_.step() == SmtpDialog::Step::wait) {
        auto output = dialog_.take_output();
        if (session_) {
            session_->write(output);
            output = session_->take_output();
        }
        // When sending fails, receiving tells why.
        if (!output.empty()) co_await send(std::move(output));
        enter(dialog_.phase());
        const auto received = receive();
        if (received.trouble) {
            dialog_.interrupted(*received.trouble);
        } else if (!received.bytes.empty()) {
            if (session_) {
                session_->receive(received.bytes);
                dialog_.receive(session_->read());
                if (session_->failed()) dialog_.interrupted(session_->outcome());
            } else {
                dialog_.receive(received.bytes);
            }
        } else {
            co_await ready(Descriptor_::wait_read, phase_deadline());
            give_up_when_late();
        }
    }
}

void HandshakeProbe::established() {
    const auto counters = tcp_counters(socket_->native_handle());
    if (counters)
        flight_bytes_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(
            counters->bytes_received - before_hello_.bytes_received, 1U << 20));
    handshake_ = session_->facts();
    dialog_.tls_established();
}

void HandshakeProbe::on_tls_bytes(const std::string& bytes) {
    session_->receive(bytes);
    session_->handshake();
}

// A snapshot of the counters; true when it makes the handshake stalled.
bool HandshakeProbe::observe(bool judge) {
    const auto counters = tcp_counters(socket_->native_handle());
    if (!counters) return false;
    const auto shape = rule_->observe(*counters, Clock::now());
    if (!shape || !judge) return false;
    stalled_as(*shape);
    return true;
}

void HandshakeProbe::stalled_as(StallShape shape) {
    attempt_.stall = shape;
    end(Outcome::timed_out);
}

// Out-of-order arrival wakes nobody, so the counters are looked at every quarter of a round trip.
asio::awaitable<void> HandshakeProbe::shake(Time deadline, bool judge) {
    using namespace std::chrono_literals;
    while (!session_->established()) {
        auto output = session_->take_output();
        if (!output.empty()) co_await send(std::move(output));
        if (session_->failed()) {
            handshake_ = session_->facts();
            end(session_->outcome());
            co_return;
        }
        const auto received = receive();
        // Before the trouble is looked at: what came with it counts.
        if (observe(judge && received.bytes.empty() && !received.trouble)) co_return;
        if (received.trouble) {
            end(*received.trouble);
            co_return;
        }
        if (!received.bytes.empty()) {
            on_tls_bytes(received.bytes);
            continue;
        }
        const auto now = Clock::now();
        if (now >= deadline) co_return;
        const auto rtt = std::chrono::microseconds(before_hello_.rtt_microseconds);
        const auto tick = std::clamp<Clock::duration>(rtt / 4, 3ms, 100ms);
        co_await ready(Descriptor_::wait_read, std::min(now + tick, deadline));
    }
    auto finished = session_->take_output();
    if (!finished.empty()) co_await send(std::move(finished));
    established();
}

asio::awaitable<void> HandshakeProbe::start_handshake() {
    enter(Phase::handshake);
    session_ = std::make_unique<TlsSession>(tls_, plan_.server_name, plan_.endpoint.name);
    session_->handshake();
    auto hello = session_->take_output();
    attempt_.hello_bytes = static_cast<std::uint32_t>(hello.size());
    before_hello_ = tcp_counters(socket_->native_handle()).value_or(TcpCounters{});
    hello_sent_ = Clock::now();
    rule_.emplace(before_hello_, hello_sent_, attempt_.allowed, plan_.endpoint.address.family(),
                  patience_);
    co_await send(std::move(hello));
    const auto limit = std::min(hello_sent_ + plan_.handshake_timeout, plan_.deadline);
    co_await shake(limit, true);
    if (session_->established() || attempt_.outcome != Outcome::ok) co_return;
    // Time is up although packets of full size arrive.
    if (Clock::now() >= plan_.deadline)
        end(Outcome::cancelled);
    else
        stalled_as(StallShape::silent_acked);
}

asio::awaitable<void> HandshakeProbe::run() {
    enter(Phase::connect);
    const auto trouble = co_await connect();
    if (trouble) {
        end(*trouble);
        co_return;
    }
    if (dialog_.step() == SmtpDialog::Step::wait) {
        enter(Phase::greeting);
        co_await converse();
    }
    if (dialog_.step() == SmtpDialog::Step::start_tls) {
        co_await start_handshake();
        if (!session_->established()) co_return;
        co_await converse();
    }
    if (session_) session_->close();
    end(dialog_.outcome());
    close();
}

bool HandshakeProbe::moved() {
    if (!stalled()) return false;
    const auto counters = tcp_counters(socket_->native_handle());
    return counters && counters->bytes_received > attempt_.counters.bytes_received;
}

asio::awaitable<bool> HandshakeProbe::go_on(Time until) {
    if (!stalled()) co_return false;
    auto before = attempt_;
    auto timings = timings_;
    co_await shake(std::min(until, plan_.deadline), false);
    const bool completed = session_->established();
    if (completed) {
        co_await converse();
        session_->close();
        before.largest_received = rule_->largest_received();
    }
    // The attempt stays what it was when it was judged; only that it recovered is new.
    const bool over = completed || attempt_.outcome != before.outcome;
    attempt_ = before;
    timings_ = std::move(timings);
    if (over) close();
    co_return completed;
}

}  // namespace postfathom
