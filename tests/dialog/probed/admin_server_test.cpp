// SPDX-License-Identifier: Apache-2.0
// The admin query socket as its clients meet it: curl, careless ones and hostile ones. After each
// of them the next one is served.
#include "probes/admin_server.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/json/parse.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "lib/base/descriptor.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/listener.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

asio::awaitable<Report> probe_fake(ProbeRequest request) {
    const bool slow = request.next_hop.host == "slow.example";
    co_await pause(slow ? 10s : 1ms);
    co_return test_report(to_string(request.next_hop), test_black_hole());
}

asio::awaitable<ResolvedAddresses> resolve_nothing(NextHop) { co_return ResolvedAddresses{}; }

// A server in a thread of its own.
class Server {
  public:
    explicit Server(AdminServer::Limits limits = {}, const Settings::Admin& admin = {}) {
        char pattern[] = "/tmp/postfathom-admin-XXXXXX";
        REQUIRE(::mkdtemp(pattern) != nullptr);
        directory_ = pattern;
        // Who comes in is for the socket to say.
        std::filesystem::permissions(directory_, std::filesystem::perms{0755});
        settings_.admin = admin;
        settings_.admin.socket = path();
        settings_.probe.min_interval = 0ms;
        settings_.probe.per_hour = 1'000'000'000;
        const auto listening = listen_unix(socket_place(path(), admin.rights).value());
        REQUIRE(listening);
        daemon_.emplace(
            io_, settings_, cache_,
            [](ProbeRequest request, ProgressSink) { return probe_fake(std::move(request)); },
            [](NextHop next_hop) { return resolve_nothing(std::move(next_hop)); });
        server_.emplace(io_, *daemon_, *listening, limits);
        server_->start();
        thread_ = std::thread([this] { io_.run(); });
    }
    ~Server() {
        io_.stop();
        thread_.join();
        std::filesystem::remove_all(directory_);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    std::string path() const { return directory_ + "/admin.sock"; }

  private:
    std::string directory_;
    Settings settings_;
    MemoryCache cache_;
    asio::io_context io_{1};
    std::optional<Daemon> daemon_;
    std::optional<AdminServer> server_;
    std::thread thread_;
};

// A client that sends what it likes. Waits at most ten seconds for anything.
class Client {
  public:
    explicit Client(const Server& server) : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, server.path().c_str(), sizeof address.sun_path - 1);
        connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                               sizeof address) == 0;
    }
    bool connected() const { return connected_; }

    // False when the server closed before all was sent.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }
    void end_of_input() { ::shutdown(socket_.get(), SHUT_WR); }

    // Reads until `wanted` is in what was read, `times` times; true when it came.
    bool read_until(std::string_view wanted, std::size_t times = 1) {
        while (count(wanted) < times)
            if (!read_some()) return false;
        return true;
    }
    // Reads to the end; false when the server keeps the connection open.
    bool read_to_end() {
        while (read_some()) {
        }
        return ended_;
    }
    const std::string& text() const { return text_; }
    unsigned status() const {
        unsigned number = 0;
        return std::sscanf(text_.c_str(), "HTTP/1.1 %u", &number) == 1 ? number : 0;
    }
    json::value body() const {
        json::error_code error;
        auto value =
            json::parse(text_.substr(std::min(text_.size(), text_.find("\r\n\r\n") + 4)), error);
        return error ? json::value() : value;
    }

  private:
    std::size_t count(std::string_view wanted) const {
        std::size_t found = 0;
        for (auto at = text_.find(wanted); at != std::string::npos; at = text_.find(wanted, at + 1))
            ++found;
        return found;
    }
    bool read_some() {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, 10'000) != 1) return false;
        std::array<char, 65536> buffer{};
        const auto length = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (length <= 0) {
            ended_ = true;
            return false;
        }
        text_.append(buffer.data(), static_cast<std::size_t>(length));
        return true;
    }
    Descriptor socket_;
    std::string text_;
    bool connected_ = false;
    bool ended_ = false;
};

std::string request(std::string_view method, std::string_view target, std::string_view body = {},
                    std::string_view connection = "close") {
    return fmt::format(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: {}\r\n"
        "Content-Length: {}\r\n\r\n{}",
        method, target, connection, body.size(), body);
}

// One request on a connection of its own: status and body.
std::pair<unsigned, json::value> ask(const Server& server, std::string_view method,
                                     std::string_view target, std::string_view body = {}) {
    Client client(server);
    client.send(request(method, target, body));
    client.read_to_end();
    return {client.status(), client.body()};
}

bool answers(const Server& server) { return ask(server, "GET", "/healthz").first == 200; }

std::string error_code_in(const json::value& body) {
    if (!body.is_object() || !body.as_object().contains("error")) return "";
    return std::string(body.at("error").at("code").as_string());
}

// Status and body through curl, as an operator types it; `as`: behind the words of setpriv(1).
std::string curl(const Server& server, const std::string& arguments, const std::string& as = {}) {
    const auto command =
        fmt::format("{} curl -sS --max-time 10 -w '\\n%{{http_code}}' --unix-socket {} {} 2>&1", as,
                    server.path(), arguments);
    std::string text;
    FILE* pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 4096> buffer{};
    while (const auto length = std::fread(buffer.data(), 1, buffer.size(), pipe))
        text.append(buffer.data(), length);
    ::pclose(pipe);
    return text;
}

bool ends_with_status(const std::string& text, const char* status) {
    return text.ends_with(std::string("\n") + status);
}

}  // namespace

TEST_CASE("curl gets an answer to every question") {
    Server server;
    CHECK(curl(server, "http://localhost/healthz").starts_with("{\"status\":\"ok\"}"));
    CHECK(ends_with_status(curl(server, "http://localhost/v1/destinations/example.net"), "404"));
    const auto probed = curl(server,
                             "-d '{\"destination\": \"example.net\", \"wait\": true}' "
                             "http://localhost/v1/probe");
    CHECK(probed.find("\"pmtu-black-hole\"") != std::string::npos);
    CHECK(ends_with_status(probed, "200"));
    const auto shown = curl(server, "http://localhost/v1/destinations/example.net");
    CHECK(shown.find("\"freshness\":\"fresh\"") != std::string::npos);
    CHECK(shown.find("\"report\":{\"schema\":1") != std::string::npos);
    CHECK(curl(server, "http://localhost/v1/destinations").find("example.net") !=
          std::string::npos);
    CHECK(curl(server, "http://localhost/v1/status").find("\"finished\":1") != std::string::npos);
    const auto events = curl(server, "-N --max-time 1 http://localhost/v1/events");
    CHECK(events.find("{\"event\":\"heartbeat\"") != std::string::npos);
}

TEST_CASE("a probe is accepted at once, and its verdict is there soon") {
    Server server;
    const auto [status, body] =
        ask(server, "POST", "/v1/probe", R"({"destination": "[Mail.Example.NET]:25"})");
    CHECK(status == 202);
    CHECK(body.at("next_hop").as_string() == "[mail.example.net]");
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    unsigned found = 0;
    while (found != 200 && std::chrono::steady_clock::now() < deadline)
        found = ask(server, "GET", "/v1/destinations/%5Bmail.example.net%5D").first;
    CHECK(found == 200);
}

TEST_CASE("destinations come in pages") {
    Server server;
    for (const auto* name : {"a.example", "b.example", "c.example"})
        CHECK(ask(server, "POST", "/v1/probe",
                  fmt::format(R"({{"destination": "{}", "wait": true}})", name))
                  .first == 200);
    auto page = ask(server, "GET", "/v1/destinations?limit=2").second;
    CHECK(page.at("destinations").as_array().size() == 2);
    CHECK(page.at("next").as_string() == "b.example");
    page = ask(server, "GET", "/v1/destinations?after=b.example&limit=2").second;
    CHECK(page.at("destinations").as_array().size() == 1);
    CHECK(page.at("next").is_null());
}

TEST_CASE("events tell of probes and changes as they happen") {
    Server server;
    Client watcher(server);
    REQUIRE(watcher.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    REQUIRE(watcher.read_until("heartbeat"));
    CHECK(watcher.text().find("Transfer-Encoding: chunked") != std::string::npos);
    ask(server, "POST", "/v1/probe", R"({"destination": "example.net", "wait": true})");
    CHECK(watcher.read_until("\"event\":\"probe-started\""));
    CHECK(watcher.read_until("\"event\":\"verdict-changed\""));
    CHECK(watcher.read_until("\"event\":\"probe-finished\""));
}

TEST_CASE("what is wrong with a request is said in JSON") {
    Server server;
    struct Row {
        const char* method;
        const char* target;
        std::string body;
        unsigned status;
        const char* code;
    };
    const std::vector<Row> rows{
        {"GET", "/index.html", "", 404, "unknown-path"},
        {"GET", "/v1/nothing", "", 404, "unknown-path"},
        {"POST", "/healthz", "", 405, "bad-method"},
        {"DELETE", "/v1/destinations", "", 405, "bad-method"},
        {"PUT", "/v1/destinations/example.net", "", 405, "bad-method"},
        {"DELETE", "/v1/destinations/example.org", "", 404, "unknown-destination"},
        {"DELETE", "/v1/destinations/%zz", "", 400, "bad-destination"},
        {"GET", "/v1/routes/example.org", "", 404, "unknown-route"},
        {"GET", "/v1/routes/%zz", "", 400, "bad-domain"},
        {"BREW", "/healthz", "", 405, "bad-method"},
        {"GET", "/v1/probe", "", 405, "bad-method"},
        {"GET", "/v1/destinations/example.org", "", 404, "unknown-destination"},
        {"GET", "/v1/destinations/%zz", "", 400, "bad-destination"},
        {"GET", "/v1/destinations/%00", "", 400, "bad-destination"},
        {"GET", "/v1/destinations/a..b", "", 400, "bad-destination"},
        {"GET", "/v1/destinations/", "", 400, "bad-destination"},
        {"GET", "/v1/destinations?limit=0", "", 400, "bad-query"},
        {"GET", "/v1/destinations?limit=99999999999999999999", "", 400, "bad-query"},
        {"GET", "/v1/destinations?limit=-1", "", 400, "bad-query"},
        {"GET", "/v1/destinations?colour=red", "", 400, "bad-query"},
        {"POST", "/v1/probe", "", 400, "bad-request"},
        {"POST", "/v1/probe", std::string(60'000, '['), 400, "bad-request"},
        {"POST", "/v1/probe", R"({"destination": "; rm -rf /"})", 400, "bad-destination"},
        {"POST", "/v1/probe", std::string(70'000, 'x'), 413, "body-too-large"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.method);
        CAPTURE(row.target);
        const auto [status, body] = ask(server, row.method, row.target, row.body);
        CHECK(status == row.status);
        CHECK(error_code_in(body) == row.code);
    }
    CHECK(answers(server));
}

TEST_CASE("bytes that are no HTTP end in an error and nothing else") {
    Server server;
    for (const std::string& bytes :
         {std::string("hello\r\n\r\n"), std::string(100, '\0'), std::string(3000, '\xff'),
          std::string("GET"), std::string("\x16\x03\x01\x02\x00\x01\x00", 7),
          std::string("GET /healthz HTTP/9.9\r\n\r\n"),
          std::string("GET /healthz HTTP/1.1\r\nContent-Length: -5\r\n\r\n"),
          std::string("GET /healthz HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n"),
          std::string("POST /v1/probe HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"),
          std::string("GET /healthz HTTP/1.1\r\nbroken header\r\n\r\n")}) {
        CAPTURE(bytes);
        Client client(server);
        client.send(bytes);
        client.end_of_input();
        CHECK(client.read_to_end());
        CHECK((client.text().empty() || client.status() >= 400));
        CHECK(answers(server));
    }
}

TEST_CASE("a body without a length is refused") {
    Server server;
    Client client(server);
    client.send(
        "POST /v1/probe HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    client.send("\r");
    client.end_of_input();
    CHECK(client.read_to_end());
    CHECK(client.status() == 411);
    CHECK(answers(server));
}

TEST_CASE("a request cut at any byte, or sent byte by byte, harms nobody") {
    Server server;
    const auto whole = request("POST", "/v1/probe", R"({"destination": "example.net"})");
    for (std::size_t length = 0; length < whole.size(); length += 3) {
        Client client(server);
        client.send(whole.substr(0, length));
        client.end_of_input();
        CHECK(client.read_to_end());
    }
    Client slow(server);
    for (const char byte : whole) REQUIRE(slow.send({&byte, 1}));
    CHECK(slow.read_to_end());
    CHECK(slow.status() == 202);
}

TEST_CASE("a header above 8 KiB is refused") {
    Server server;
    const std::string line = "GET /healthz HTTP/1.1\r\n";
    for (const std::size_t bytes : {8'192UL, 8'193UL, 9'000UL, 17'000UL}) {
        const auto header = line + "X: " + std::string(bytes - line.size() - 7, 'x') + "\r\n\r\n";
        for (const std::size_t cut : {std::size_t{0}, line.size(), bytes - 1}) {
            CAPTURE(bytes);
            CAPTURE(cut);
            Client client(server);
            client.send(header.substr(0, cut));
            client.send(header.substr(cut));
            client.end_of_input();
            CHECK(client.read_to_end());
            CHECK(client.status() == (bytes > 8'192 ? 431 : 200));
        }
    }
    Client endless(server);
    const std::string block(64 * 1024, 'x');
    endless.send("GET /healthz HTTP/1.1\r\nX: ");
    bool sent = true;
    for (int i = 0; i < 100 && sent; ++i) sent = endless.send(block);
    CHECK_FALSE(sent);
    CHECK(answers(server));
}

TEST_CASE("a client that does not finish its request is given up") {
    AdminServer::Limits limits;
    limits.read = 200ms;
    Server server(limits);
    Client half(server);
    half.send("GET /healthz HTT");
    CHECK(half.read_to_end());
    CHECK(half.status() == 408);
    Client silent(server);
    CHECK(silent.read_to_end());
    CHECK(silent.text().empty());
    CHECK(answers(server));
}

TEST_CASE("a client that does not take its answers is given up") {
    AdminServer::Limits limits;
    limits.write = 200ms;
    Server server(limits);
    Client sleeper(server);
    // More answers than the buffers of both sides hold; sending ends when the server has closed.
    const auto page = request("GET", "/", "", "keep-alive");
    std::string many;
    for (int i = 0; i < 100; ++i) many += page;
    bool sent = true;
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (sent && std::chrono::steady_clock::now() < deadline) sent = sleeper.send(many);
    CHECK_FALSE(sent);
    CHECK(answers(server));
}

TEST_CASE("the process at the other end says who may read and who may change") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: needs root to be somebody else");
        return;
    }
    // Numbers that no account has, but for "daemon", which is 1 on every Debian (base-passwd).
    const std::string stranger = "setpriv --reuid=4711 --regid=4711 --clear-groups";
    const std::string member = "setpriv --reuid=4711 --regid=4711 --groups=27,1";
    const std::string other_member = "setpriv --reuid=4711 --regid=1 --clear-groups";
    const std::string named = "setpriv --reuid=1 --regid=4711 --clear-groups";
    const std::string read = "http://localhost/v1/status";
    const std::string page = "http://localhost/";
    const std::string watch = "http://localhost/v1/events";
    const std::string probe = "-d '{\"destination\": \"example.net\"}' http://localhost/v1/probe";
    const std::string forget = "-X DELETE http://localhost/v1/destinations/example.org";
    Settings::Admin admin;
    admin.rights.mode = "0666";

    SUBCASE("by default strangers may not ask, though the socket lets them connect") {
        Server server({}, admin);
        for (const auto& question : {read, page, watch, probe, forget}) {
            const auto told = curl(server, question, stranger);
            CHECK_MESSAGE(ends_with_status(told, "403"), told);
            CHECK(told.find("\"not-permitted\"") != std::string::npos);
            CHECK(told.find("you are 4711 (user 4711, groups 4711)") != std::string::npos);
            CHECK(told.find("@postfathom") != std::string::npos);
        }
        CHECK(ends_with_status(curl(server, read), "200"));
        CHECK(ends_with_status(curl(server, probe), "202"));
    }
    SUBCASE("supplementary groups count, and readers do not change anything") {
        admin.readers = {"@daemon"};
        admin.changers = {"daemon"};
        Server server({}, admin);
        for (const auto& who : {member, other_member}) {
            CHECK(ends_with_status(curl(server, read, who), "200"));
            for (const auto& question : {probe, forget})
                CHECK(ends_with_status(curl(server, question, who), "403"));
        }
        CHECK(ends_with_status(curl(server, read, stranger), "403"));
        CHECK(ends_with_status(curl(server, read, named), "200"));
        CHECK(ends_with_status(curl(server, probe, named), "202"));
        CHECK(ends_with_status(curl(server, forget, named), "404"));
    }
    SUBCASE("all may be let in; a name that this host does not have lets nobody in") {
        admin.readers = {"*"};
        admin.changers = {"no-such-user-here", "@no-such-group-here"};
        Server server({}, admin);
        CHECK(ends_with_status(curl(server, read, stranger), "200"));
        CHECK(ends_with_status(curl(server, probe, stranger), "403"));
    }
    SUBCASE("the socket's permissions come first") {
        admin.rights.mode = "0660";
        admin.readers = {"*"};
        Server server({}, admin);
        CHECK(ends_with_status(curl(server, read, stranger), "000"));
    }
}

TEST_CASE("a connection carries one request after the other, pipelined too") {
    Server server;
    Client client(server);
    std::string many;
    for (int i = 0; i < 50; ++i) many += request("GET", "/healthz", "", "keep-alive");
    REQUIRE(client.send(many));
    CHECK(client.read_until("{\"status\":\"ok\"}", 50));
}

TEST_CASE("two hundred connections are too many for a while, and no longer") {
    Server server;
    {
        std::vector<std::unique_ptr<Client>> crowd;
        for (int i = 0; i < 200; ++i) {
            crowd.push_back(std::make_unique<Client>(server));
            REQUIRE(crowd.back()->connected());
        }
        // The last ones in are told so.
        CHECK(crowd.back()->read_to_end());
        CHECK(crowd.back()->status() == 503);
        // Those that have a seat are served.
        crowd.front()->send(request("GET", "/healthz"));
        CHECK(crowd.front()->read_to_end());
        CHECK(crowd.front()->status() == 200);
    }
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    bool served = false;
    while (!served && std::chrono::steady_clock::now() < deadline) served = answers(server);
    CHECK(served);
}

TEST_CASE("those who wait for a slow probe hold nobody up, and may leave") {
    Server server;
    {
        Client leaver(server);
        leaver.send(
            request("POST", "/v1/probe", R"({"destination": "slow.example", "wait": true})"));
        CHECK(answers(server));
    }
    CHECK(answers(server));
    CHECK(
        ask(server, "POST", "/v1/probe", R"({"destination": "example.net", "wait": true})").first ==
        200);
}

TEST_CASE("a watcher that does not read is dropped, and the events go on for others") {
    AdminServer::Limits limits;
    limits.stream_write = 200ms;
    Server server(limits);
    Client sleeper(server);
    REQUIRE(sleeper.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    // More events than socket buffers and our own bound hold: each probe brings three.
    const auto busy = request("POST", "/v1/probe",
                              R"({"destination": "example.net", "wait": true})", "keep-alive");
    Client worker(server);
    bool dropped = false;
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    for (std::size_t i = 1; !dropped && std::chrono::steady_clock::now() < deadline; ++i) {
        worker.send(busy);
        if (!worker.read_until("HTTP/1.1 200", i)) break;
        if (i % 100 == 0) {
            Client counter(server);
            counter.send(request("GET", "/v1/status"));
            counter.read_to_end();
            dropped = counter.body().at("event_readers").to_number<int>() == 0;
        }
    }
    CHECK(dropped);
    Client watcher(server);
    watcher.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(watcher.read_until("heartbeat"));
}

TEST_CASE("a browser gets one page that may run its own script and ask us, and nothing else") {
    Server server;
    Client client(server);
    REQUIRE(client.send(request("GET", "/")));
    CHECK(client.read_to_end());
    CHECK(client.status() == 200);
    const auto& text = client.text();
    CHECK(text.find("Content-Type: text/html; charset=utf-8\r\n") != std::string::npos);
    const auto policy = text.find("Content-Security-Policy: default-src 'none'; ");
    REQUIRE(policy != std::string::npos);
    const auto nonce_at = text.find("script-src 'nonce-", policy) + 18;
    const auto nonce = text.substr(nonce_at, text.find('\'', nonce_at) - nonce_at);
    CHECK(nonce.size() == 32);
    CHECK(text.find(fmt::format("<script nonce=\"{}\">", nonce)) != std::string::npos);
    CHECK(text.find(fmt::format("<style nonce=\"{}\">", nonce)) != std::string::npos);
    CHECK(text.find("@NONCE@") == std::string::npos);
    CHECK(text.find("</html>") != std::string::npos);

    const auto [status, refused] = ask(server, "POST", "/");
    CHECK(status == 405);
    CHECK(error_code_in(refused) == "bad-method");
}
