// SPDX-License-Identifier: Apache-2.0
// The only file of the daemon that knows HTTP (Boost.Beast).
#include "probes/admin_server.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/serialize.hpp>
#include <map>

#include "lib/base/account.hpp"
#include "lib/base/log.hpp"
#include "lib/base/pace.hpp"
#include "lib/base/text.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/indispensable.hpp"
#include "probes/admin_answers.hpp"
#include "probes/admin_peer.hpp"
#include "probes/delivery_answers.hpp"
#include "probes/metrics.hpp"
#include "probes/status_page.hpp"

namespace postfathom {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using Local = asio::local::stream_protocol;
using Tcp = asio::ip::tcp;
using Socket = asio::generic::stream_protocol::socket;
using ErrorCodeOf = boost::system::error_code;
using Request = http::request<http::string_body>;

namespace {

constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace

struct AdminServer::State {
    State(asio::io_context& context, Daemon& of, const Limits& allowed)
        : io(context),
          daemon(of),
          limits(allowed),
          acceptor(context),
          tcp_acceptor(context),
          rights(admin_rights(of.settings().admin)),
          started(Clock::now()) {}

    asio::io_context& io;
    Daemon& daemon;
    Limits limits;
    Local::acceptor acceptor;
    Tcp::acceptor tcp_acceptor;  // closed where there is none
    AdminRights rights;
    Clock::time_point started;
    std::map<Door, std::size_t> connections;
};

namespace {

using StatePointer = std::shared_ptr<AdminServer::State>;

// Counts a connection for as long as it lives. Each door has seats of its own: whoever may come
// through the loopback port keeps no operator out.
class Seat {
  public:
    Seat(StatePointer state, Door door) : state_(std::move(state)), door_(door) {
        ++state_->connections[door_];
    }
    ~Seat() { --state_->connections[door_]; }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

  private:
    StatePointer state_;
    Door door_;
};

struct Reply {
    unsigned status = 200;
    std::string type = "application/json";
    std::string body;
    std::string policy{};  // for browsers
};
Reply as_json(const AdminReply& reply) {
    return {reply.status, "application/json", boost::json::serialize(reply.body) + "\n", {}};
}

// What can be answered at once.
AdminReply answer_get(const AdminServer::State& state, const Target& target) {
    if (target.path == "/healthz") return answer_health();
    if (target.path == "/v1/status")
        return answer_status(state.daemon, std::chrono::duration_cast<std::chrono::seconds>(
                                               Clock::now() - state.started));
    if (target.path == "/v1/destinations") return answer_destinations(state.daemon, target.query);
    if (target.path == "/v1/sockets") return answer_sockets(state.daemon);
    if (target.path == "/v1/clients") {
        state.daemon.store_clients();  // those of the last seconds, too
        return answer_clients(state.daemon, target.query);
    }
    if (target.path.starts_with(route_prefix))
        return answer_route(state.daemon, target.path.substr(route_prefix.size()));
    if (target.path.starts_with(delivery_prefix))
        return answer_delivery(state.daemon, target.path.substr(delivery_prefix.size()));
    return answer_destination(state.daemon, target.path.substr(destination_prefix.size()));
}

asio::awaitable<AdminReply> answer_probe(StatePointer state, std::string body) {
    auto asked = parse_probe_asked(body);
    if (!asked) co_return std::move(asked.error());
    const auto name = to_string(asked->next_hop);
    Result<void> done;
    if (asked->wait)
        done = co_await state->daemon.ask_and_wait(asked->next_hop, asked->verbatim,
                                                   state->daemon.longest_probe());
    else
        done = state->daemon.ask(asked->next_hop, asked->verbatim);
    if (!done && done.error().code == ErrorCode::timed_out)
        co_return admin_error(504, "probe-timeout", name + ": " + done.error().message);
    if (!done) co_return admin_error(503, "busy", name + ": " + done.error().message);
    if (asked->wait) co_return answer_next_hop(state->daemon, name);
    AdminReply accepted{202, {}};
    accepted.body["next_hop"] = name;
    accepted.body["state"] = "accepted";
    co_return accepted;
}

RequestWords words_of(const Request& request) {
    const auto host = request[http::field::host];
    return {{request.method_string().data(), request.method_string().size()},
            {request.target().data(), request.target().size()},
            {host.data(), host.size()}};
}

Reply page_reply() {
    auto page = status_page();
    return {200, "text/html; charset=utf-8", std::move(page.html), std::move(page.policy)};
}

asio::awaitable<AdminReply> answer(StatePointer state, Request request) {
    const auto words = words_of(request);
    if (auto refused = refuse_request(words)) co_return std::move(*refused);
    const auto target = split_target(words.target);
    if (words.method == "DELETE")
        co_return answer_forget(state->daemon, target.path.substr(destination_prefix.size()));
    if (words.method == "POST") co_return co_await answer_probe(std::move(state), request.body());
    co_return answer_get(*state, target);
}

// What the parser's trouble is to the client; nothing when the client is gone.
std::optional<AdminReply> reply_to_bad_request(const ErrorCodeOf& error) {
    if (error == http::error::end_of_stream || error == http::error::partial_message) return {};
    if (error.category() != make_error_code(http::error::bad_method).category()) return {};
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
        return admin_error(431, "header-too-large",
                           fmt::format("the request's header exceeds {} bytes", max_header_bytes));
    if (error == http::error::body_limit)
        return admin_error(413, "body-too-large",
                           fmt::format("the request's body exceeds {} bytes", max_body_bytes));
    if (error == http::error::bad_transfer_encoding)
        return admin_error(411, "length-required",
                           "expected a Content-Length, found a Transfer-Encoding");
    return admin_error(400, "bad-request", "this is no HTTP/1.1 request: " + error.message());
}

asio::awaitable<ErrorCodeOf> send(Socket& socket, Reply reply, unsigned version, bool keep_alive) {
    http::response<http::string_body> response(static_cast<http::status>(reply.status), version);
    response.set(http::field::content_type, reply.type);
    response.set("X-Content-Type-Options", "nosniff");
    if (!reply.policy.empty()) response.set("Content-Security-Policy", reply.policy);
    response.set("Referrer-Policy", "no-referrer");
    response.set(http::field::cache_control, "no-store");
    response.keep_alive(keep_alive);
    response.body() = std::move(reply.body);
    response.prepare_payload();
    const auto result = co_await http::async_write(socket, response, use_result);
    co_return std::get<0>(result);
}

asio::awaitable<ErrorCodeOf> read(Socket& socket, beast::flat_buffer& buffer,
                                  http::request_parser<http::string_body>& parser) {
    const auto header = co_await http::async_read_header(socket, buffer, parser, use_result);
    if (std::get<0>(header)) co_return std::get<0>(header);
    if (std::get<1>(header) > max_header_bytes) co_return http::error::header_limit;
    // Nobody who asks us needs chunks.
    if (parser.chunked()) co_return http::error::bad_transfer_encoding;
    if (parser.is_done()) co_return ErrorCodeOf{};
    const auto body = co_await http::async_read(socket, buffer, parser, use_result);
    co_return std::get<0>(body);
}

asio::awaitable<ErrorCodeOf> write_all(Socket& socket, std::string text) {
    const auto result = co_await asio::async_write(socket, asio::buffer(text), use_result);
    co_return std::get<0>(result);
}

asio::awaitable<bool> write_in_time(Socket& socket, std::string text,
                                    std::chrono::milliseconds limit) {
    auto work = write_all(socket, std::move(text));
    const auto error = co_await with_deadline(limit, std::move(work));
    co_return error && !*error;
}

// True when the client has closed; what it may send is not looked at.
asio::awaitable<bool> gone(Socket& socket) {
    std::array<char, 256> ignored{};
    for (;;) {
        const auto result = co_await socket.async_read_some(asio::buffer(ignored), use_result);
        if (std::get<0>(result)) co_return true;
    }
}

std::string chunk(const std::string& lines) {
    return fmt::format("{:x}\r\n{}\r\n", lines.size(), lines);
}

std::string heartbeat_line() {
    return fmt::format("{{\"event\":\"heartbeat\",\"at\":\"{}\"}}\n", to_rfc3339(wall_now()));
}

// Newline-delimited JSON until the client goes, or is too slow.
asio::awaitable<void> stream_events(StatePointer state, Socket& socket) {
    using namespace asio::experimental::awaitable_operators;
    const auto reader = state->daemon.events().subscribe();
    std::string lines =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n"
        "Transfer-Encoding: chunked\r\n\r\n" +
        chunk(heartbeat_line());
    while (co_await write_in_time(socket, std::move(lines), state->limits.stream_write)) {
        auto next = co_await (reader->next(state->limits.heartbeat) || gone(socket));
        if (next.index() == 1 || reader->too_slow()) co_return;
        lines = std::move(std::get<0>(next));
        lines = chunk(lines.empty() ? heartbeat_line() : lines);
    }
}

// One request and its answer; false when the connection shall end.
asio::awaitable<bool> serve_one(StatePointer state, Socket& socket, Door door,
                                const AdminPeer& peer, beast::flat_buffer& buffer) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(beast_header_limit);
    parser.body_limit(max_body_bytes);
    auto reading = read(socket, buffer, parser);
    const auto error = co_await with_deadline(state->limits.read, std::move(reading));
    std::optional<AdminReply> trouble;
    std::optional<Reply> reply;
    bool keep_alive = false;
    unsigned version = 11;
    if (!error) {
        if (parser.got_some())
            trouble = admin_error(408, "request-timeout", "the request did not come in time");
    } else if (*error) {
        trouble = reply_to_bad_request(*error);
    } else {
        auto request = parser.release();
        keep_alive = request.keep_alive();
        version = request.version() == 10 ? 10 : 11;
        const auto path = split_target({request.target().data(), request.target().size()}).path;
        const bool get = request.method() == http::verb::get;
        trouble = refuse_at(door, words_of(request));
        if (!trouble && door == Door::unix_socket)
            trouble = refuse_peer(peer, state->rights, words_of(request), &user_name);
        if (!trouble && get && path == "/v1/events") {
            co_await stream_events(state, socket);
            co_return false;
        }
        if (!trouble && get && path == "/metrics")
            reply = Reply{200,
                          metrics_content_type,
                          metrics_text(state->daemon, Clock::now() - state->started),
                          {}};
        else if (!trouble && get && path == "/")
            reply = page_reply();
        else if (!trouble)
            trouble = co_await answer(state, std::move(request));
    }
    if (trouble) reply = as_json(*trouble);
    if (!reply) co_return false;
    auto sending = send(socket, std::move(*reply), version, keep_alive);
    const auto sent = co_await with_deadline(state->limits.write, std::move(sending));
    co_return keep_alive&& sent && !*sent;
}

asio::awaitable<void> session(StatePointer state, Socket socket, Door door) {
    const Seat seat(state, door);
    try {
        const auto peer = door == Door::unix_socket ? peer_of(socket.native_handle()) : AdminPeer{};
        beast::flat_buffer buffer(max_header_bytes + max_body_bytes);
        while (co_await serve_one(state, socket, door, peer, buffer)) {
        }
    } catch (const std::exception& broken) {
        log::error("admin socket: a session broke off: {}", printable(broken.what()));
    }
    ErrorCodeOf ignored;
    socket.shutdown(Socket::shutdown_send, ignored);
}

asio::awaitable<void> turn_away(Socket socket) {
    auto reply = as_json(admin_error(503, "busy", "too many connections (admin.max_connections)"));
    auto sending = send(socket, std::move(reply), 11, false);
    co_await with_deadline(std::chrono::seconds{1}, std::move(sending));
}

template <typename Acceptor>
asio::awaitable<void> accept_all(StatePointer state, Acceptor& acceptor, Door door) {
    Pace complaints(std::chrono::minutes{1}, 1);
    while (acceptor.is_open()) {
        typename Acceptor::protocol_type::socket accepted(state->io);
        const auto result = co_await acceptor.async_accept(accepted, use_result);
        const auto& error = std::get<0>(result);
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            // No descriptor left, or the client went at once.
            if (complaints.allow("accept", std::chrono::steady_clock::now()))
                log::error("admin socket: cannot accept a connection: {}; trying again",
                           error.message());
            co_await pause(accept_pause);
            continue;
        }
        Socket socket(std::move(accepted));
        if (state->connections[door] >= state->daemon.settings().admin.max_connections)
            asio::co_spawn(state->io, turn_away(std::move(socket)), asio::detached);
        else
            asio::co_spawn(state->io, session(state, std::move(socket), door), asio::detached);
    }
}

}  // namespace

AdminServer::AdminServer(asio::io_context& io, Daemon& daemon, int listening, const Limits& limits)
    : state_(std::make_shared<State>(io, daemon, limits)) {
    state_->acceptor.assign(Local(), listening);
}

AdminServer::~AdminServer() { stop(); }

void AdminServer::also_listen(int listening_tcp) {
    state_->tcp_acceptor.assign(Tcp::v4(), listening_tcp);
}

void AdminServer::start() {
    asio::co_spawn(state_->io, accept_all(state_, state_->acceptor, Door::unix_socket),
                   indispensable);
    if (state_->tcp_acceptor.is_open())
        asio::co_spawn(state_->io, accept_all(state_, state_->tcp_acceptor, Door::loopback_port),
                       indispensable);
}

void AdminServer::reload() { state_->rights = admin_rights(state_->daemon.settings().admin); }

void AdminServer::stop() {
    ErrorCodeOf ignored;
    state_->acceptor.close(ignored);
    state_->tcp_acceptor.close(ignored);
}

}  // namespace postfathom
