// SPDX-License-Identifier: Apache-2.0
#include "probes/https_get.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "lib/base/text.hpp"
#include "lib/net/deadline.hpp"
#include "probes/https_answer.hpp"

namespace postfathom {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint16_t https_port = 443;
constexpr std::size_t most_addresses = 2;

class Fetch {
  public:
    Fetch(const HttpsFile& file, const TlsContext& tls, const asio::any_io_executor& executor)
        : file_(file),
          socket_(executor),
          session_(tls, file.host, file.host),
          answer_(file.max_bytes) {}

    asio::awaitable<Result<std::string>> run() {
        std::string problem = "it has no address";
        std::size_t tried = 0;
        for (const auto& address : file_.addresses) {
            if (tried++ == most_addresses) break;
            problem = co_await connect(address);
            if (problem.empty()) break;
        }
        if (problem.empty()) problem = co_await begin_tls();
        if (problem.empty()) {
            session_.write(
                fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: postfathom/{}\r\n"
                            "Accept: text/plain\r\nConnection: close\r\n\r\n",
                            file_.path, file_.host, POSTFATHOM_VERSION));
            problem = co_await read_answer();
        }
        if (problem.empty()) {
            auto body = answer_.body();
            if (body) co_return body;
            problem = body.error().message;
        }
        co_return fail(ErrorCode::io, fmt::format("https://{}{}: {}", file_.host, file_.path,
                                                  printable(problem, 200)));
    }

  private:
    // Each answers with what went wrong; empty: nothing did.

    asio::awaitable<std::string> connect(IpAddress address) {
        error_code ignored;
        socket_.close(ignored);
        const auto place = asio::ip::make_address(address.to_string(), ignored);
        const auto result = co_await socket_.async_connect({place, https_port}, use_result);
        const auto& error = std::get<0>(result);
        co_return error ? error.message() : std::string();
    }

    asio::awaitable<std::string> flush() {
        const auto bytes = session_.take_output();
        if (bytes.empty()) co_return std::string();
        const auto result = co_await asio::async_write(socket_, asio::buffer(bytes), use_result);
        const auto& error = std::get<0>(result);
        co_return error ? error.message() : std::string();
    }

    asio::awaitable<std::string> receive() {
        std::array<char, 16 * 1024> bytes;  // NOLINT: written before it is read
        const auto result = co_await socket_.async_read_some(asio::buffer(bytes), use_result);
        const auto& error = std::get<0>(result);
        if (error) co_return error.message();
        received_ += std::get<1>(result);
        if (received_ > TlsSession::max_bytes) co_return "too many bytes";
        session_.receive({bytes.data(), std::get<1>(result)});
        co_return std::string();
    }

    asio::awaitable<std::string> begin_tls() {
        for (;;) {
            session_.handshake();
            auto problem = co_await flush();
            if (!problem.empty()) co_return problem;
            if (session_.failed())
                co_return "the TLS handshake failed: " + session_.facts().tls_error;
            if (session_.established()) break;
            problem = co_await receive();
            if (!problem.empty()) co_return problem;
        }
        const auto facts = session_.facts();
        if (!facts.certificate) co_return "it sent no certificate";
        if (facts.certificate->verify_code != 0) co_return facts.certificate->verify_text;
        if (!facts.certificate->name_matches) co_return "its certificate has another name";
        co_return std::string();
    }

    asio::awaitable<std::string> read_answer() {
        while (!answer_.over()) {
            auto problem = co_await flush();
            if (problem.empty()) problem = co_await receive();
            if (!problem.empty()) co_return problem;
            answer_.put(session_.read());
            if (session_.failed()) co_return "the TLS session broke";
            if (session_.ended()) answer_.end();
        }
        co_return std::string();
    }

    const HttpsFile& file_;
    tcp::socket socket_;
    TlsSession session_;
    HttpsAnswer answer_;
    std::size_t received_ = 0;
};

asio::awaitable<Result<std::string>> fetch(HttpsFile file, TlsContext tls) {
    Fetch fetching(file, tls, co_await asio::this_coro::executor);
    auto work = fetching.run();
    co_return co_await std::move(work);
}

}  // namespace

asio::awaitable<Result<std::string>> https_get(HttpsFile file, TlsContext tls,
                                               std::chrono::milliseconds timeout) {
    const auto host = file.host;
    auto work = fetch(std::move(file), std::move(tls));
    auto found = co_await with_deadline(timeout, std::move(work));
    if (!found) co_return fail(ErrorCode::timed_out, "https://" + host + ": no answer in time");
    co_return std::move(*found);
}

}  // namespace postfathom
