// SPDX-License-Identifier: Apache-2.0
#include "lib/net/admin_client.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>

#include "lib/base/text.hpp"
#include "lib/cache/json_fields.hpp"

namespace postfathom {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Socket = asio::local::stream_protocol::socket;

constexpr std::uint64_t max_body_bytes = std::uint64_t{16} << 20;
constexpr std::size_t max_line_bytes = std::size_t{1} << 20;
constexpr auto stream_start_timeout = std::chrono::seconds(10);

class Conversation {
  public:
    explicit Conversation(const std::string& path) : path_(path) {}

    // The words for somebody who typed a command.
    tl::unexpected<Error> failed(std::string_view what, const error_code& error) const {
        if (error == asio::error::operation_aborted)
            return fail(
                ErrorCode::timed_out,
                fmt::format("{}: {}: postfathom-probed does not answer in time; look at its "
                            "log",
                            path_, what));
        if (error.category() == boost::system::system_category() && error.value() == ENOENT)
            return fail(
                ErrorCode::not_found,
                fmt::format("{}: there is no such socket: postfathom-probed is not running, or "
                            "has another admin.socket configured",
                            path_));
        if (error.category() == boost::system::system_category() && error.value() == ECONNREFUSED)
            return fail(
                ErrorCode::refused,
                fmt::format("{}: nobody answers there: postfathom-probed is not running; start "
                            "it",
                            path_));
        if (error.category() == boost::system::system_category() && error.value() == EACCES)
            return fail(ErrorCode::io,
                        fmt::format("{}: permission denied: run this as root or as a "
                                    "member of the socket's group",
                                    path_));
        return fail(ErrorCode::io, fmt::format("{}: {}: {}", path_, what, error.message()));
    }

    // Starts one operation and runs it to its end, or cancels it when the deadline passes.
    template <typename Start>
    error_code run(Start start) {
        error_code result = asio::error::would_block;
        start([&result](const error_code& error, auto...) { result = error; });
        io_.restart();
        if (deadline_)
            io_.run_until(*deadline_);
        else
            io_.run();
        if (result == asio::error::would_block) {
            error_code ignored;
            socket_.close(ignored);
            io_.restart();
            io_.run();
            result = asio::error::operation_aborted;
        }
        return result;
    }

    Result<void> send(const http::request<http::string_body>& request) {
        if (path_.empty() || path_.size() >= sizeof sockaddr_un::sun_path)
            return fail(ErrorCode::invalid_input,
                        fmt::format("\"{}\": expected the path of a UNIX socket, of 1 to {} bytes",
                                    path_, sizeof sockaddr_un::sun_path - 1));
        const asio::local::stream_protocol::endpoint place(path_);
        if (auto error = run([&](auto done) { socket_.async_connect(place, done); }))
            return failed("connect", error);
        if (auto error = run([&](auto done) { http::async_write(socket_, request, done); }))
            return failed("send", error);
        return {};
    }

    template <typename Parser>
    error_code read(Parser& parser) {
        return run([&](auto done) { http::async_read(socket_, buffer_, parser, done); });
    }
    template <typename Parser>
    error_code read_header(Parser& parser) {
        return run([&](auto done) { http::async_read_header(socket_, buffer_, parser, done); });
    }
    template <typename Parser>
    error_code read_some(Parser& parser) {
        return run([&](auto done) { http::async_read_some(socket_, buffer_, parser, done); });
    }

    void set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) {
        deadline_ = deadline;
    }

  private:
    const std::string& path_;
    asio::io_context io_{1};
    Socket socket_{io_};
    boost::beast::flat_buffer buffer_;
    std::optional<std::chrono::steady_clock::time_point> deadline_;
};

http::request<http::string_body> make_request(http::verb verb, const std::string& target) {
    http::request<http::string_body> request{verb, target, 11};
    request.set(http::field::host, "postfathom");
    request.set(http::field::user_agent, "postfathom/" POSTFATHOM_VERSION);
    request.set(http::field::accept, "application/json");
    request.set(http::field::connection, "close");
    return request;
}

// A target that would end the request line early makes another request than was meant.
bool is_target(const std::string& target) {
    return is_printable(target) && target.substr(0, 1) == "/" &&
           target.find(' ') == std::string::npos;
}

// Hands over what came as whole lines; false when the caller has enough.
Result<bool> take_lines(std::string& pending,
                        const std::function<bool(std::string_view)>& on_line) {
    std::size_t start = 0;
    for (;;) {
        const auto end = pending.find('\n', start);
        if (end == std::string::npos) break;
        std::string_view line(pending.data() + start, end - start);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        start = end + 1;
        if (!line.empty() && !on_line(line)) return false;
    }
    pending.erase(0, start);
    if (pending.size() > max_line_bytes)
        return fail(ErrorCode::invalid_input,
                    fmt::format("expected lines of at most {} bytes from postfathom-probed",
                                max_line_bytes));
    return true;
}

}  // namespace

Result<AdminAnswer> admin_request(const std::string& socket_path, const std::string& method,
                                  const std::string& target, const std::string& body,
                                  std::chrono::milliseconds timeout) {
    const auto verb = http::string_to_verb(method);
    if (verb == http::verb::unknown || !is_target(target))
        return fail(ErrorCode::invalid_input,
                    "expected an HTTP method and a path that starts with '/', without blanks");
    auto request = make_request(verb, target);
    if (!body.empty()) {
        request.set(http::field::content_type, "application/json");
        request.body() = body;
    }
    request.prepare_payload();

    Conversation conversation(socket_path);
    conversation.set_deadline(std::chrono::steady_clock::now() + timeout);
    if (auto sent = conversation.send(request); !sent) return tl::make_unexpected(sent.error());
    http::response_parser<http::string_body> parser;
    parser.body_limit(max_body_bytes);
    if (auto error = conversation.read(parser)) {
        if (error == http::error::body_limit)
            return fail(ErrorCode::full, fmt::format("{}: the answer is longer than {} bytes",
                                                     socket_path, max_body_bytes));
        return conversation.failed("read the answer", error);
    }
    return AdminAnswer{parser.get().result_int(), std::move(parser.get().body())};
}

Result<void> admin_stream(const std::string& socket_path, const std::string& target,
                          const std::function<bool(std::string_view)>& on_line) {
    if (!is_target(target))
        return fail(ErrorCode::invalid_input,
                    "expected a path that starts with '/', without blanks");
    Conversation conversation(socket_path);
    conversation.set_deadline(std::chrono::steady_clock::now() + stream_start_timeout);
    if (auto sent = conversation.send(make_request(http::verb::get, target)); !sent) return sent;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);  // it goes on as long as both sides like; lines are bounded
    if (auto error = conversation.read_header(parser))
        return conversation.failed("read the answer", error);
    const auto status = parser.get().result_int();

    // Events come when they come: from here on silence is no failure.
    if (status == 200) conversation.set_deadline(std::nullopt);
    std::string pending;
    std::array<char, 8192> part;  // NOLINT: written before it is read
    while (!parser.is_done()) {
        parser.get().body().data = part.data();
        parser.get().body().size = part.size();
        const auto error = conversation.read_some(parser);
        if (error && error != http::error::need_buffer)
            return conversation.failed("read the stream", error);
        pending.append(part.data(), part.size() - parser.get().body().size);
        if (status != 200) {
            if (pending.size() > max_line_bytes) break;
            continue;
        }
        const auto more = take_lines(pending, on_line);
        if (!more) return tl::make_unexpected(more.error());
        if (!*more) return {};
    }
    if (status != 200)
        return fail(status == 404 ? ErrorCode::not_found : ErrorCode::refused,
                    fmt::format("{}: {}: answered {}: {}", socket_path, target, status,
                                printable(pending)));
    if (!pending.empty()) on_line(pending);  // the last line came without its end
    return {};
}

}  // namespace postfathom
