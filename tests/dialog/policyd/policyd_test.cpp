// SPDX-License-Identifier: Apache-2.0
// Starts postfathom-policyd with a configuration and a cache of its own, and speaks to it as
// Postfix does.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/net/listener.hpp"
#include "lib/net/notice.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

KnownVerdict black_hole() {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.severity = Severity::critical;
    verdict.direction = Direction::inbound;
    verdict.path_mtu = PathMtu{1400};
    verdict.path_mtu_exact = true;
    verdict.usable_mss = Mss{1360};
    verdict.since = verdict.measured_at = wall_now();
    return verdict;
}

const std::string tag = " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)";

// A client's end of one of the sockets. Every wait ends after some seconds.
class Client {
  public:
    explicit Client(const std::string& path)
        : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        const int failed =
            ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (failed != 0) FAIL(path, ": ", std::strerror(errno));
    }

    // On the loopback interface.
    explicit Client(std::uint16_t port)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        const int failed =
            ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (failed != 0) FAIL("port ", port, ": ", std::strerror(errno));
    }

    bool closed() const {
        char byte = 0;
        return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 ||
               (errno != EAGAIN && errno != EINTR);
    }

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count < 0) return;  // closed by the server, as some tests want it
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
    }
    // What comes until `end` is there, the server closes, or too much time has passed.
    std::string receive(std::string_view end) {
        std::string result;
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (end.empty() || !result.ends_with(end)) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            pollfd readable{socket_.get(), POLLIN, 0};
            if (left <= 0ms || ::poll(&readable, 1, static_cast<int>(left.count())) <= 0)
                return result + "<timeout>";
            char bytes[4096];
            const auto count = ::recv(socket_.get(), bytes, sizeof bytes, 0);
            if (count <= 0) return result + "<closed>";
            result.append(bytes, static_cast<std::size_t>(count));
        }
        return result;
    }
    std::string ask_policy(const std::string& recipient, const std::string& instance = "1.2.3",
                           const std::string& state = "RCPT") {
        send("request=smtpd_access_policy\nprotocol_state=" + state + "\nrecipient=" + recipient +
             "\ninstance=" + instance + "\n\n");
        return receive("\n\n");
    }
    std::string ask_map(const std::string& name_and_key) {
        send(std::to_string(name_and_key.size()) + ":" + name_and_key + ",");
        return receive(",");
    }

  private:
    Descriptor socket_;
};

class Policyd {
  public:
    explicit Policyd(const std::string& more_policy = "", const std::string& more_dsn = "") {
        std::string name = (fs::temp_directory_path() / "policyd-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
        configure(more_policy, more_dsn);
        append_log("");
        fs::create_directory(folder / "cache");
        auto cache = open_cache_for_writing(folder / "cache", {});
        REQUIRE_MESSAGE(cache, cache.error().message);
        CacheChange change;
        change.next_hops.push_back({"example.org", black_hole(), {}, {}});
        change.next_hops.push_back({"[relay.example.net]:587", black_hole(), {}, {}});
        change.routes.push_back({"example.com", "[relay.example.net]:587",
                                 "[relay.example.net]:587", "smtp", wall_now()});
        change.endpoints.push_back(
            {{*IpAddress::parse("192.0.2.1"), 25, Service::smtp, "mx.example.org"},
             black_hole(),
             {}});
        change.clients.push_back(
            absorb(std::nullopt, ClientSeen{*IpAddress::parse("198.51.100.0"), {1, 0, 7, 0}, {}},
                   wall_now()));
        REQUIRE((*cache)->store(change));
        const auto bound = bind_unix_datagram({notice_socket(), 0600, "", ""});
        REQUIRE(bound);
        notices_.reset(*bound);
        start();
    }
    ~Policyd() {
        if (pid_ > 0) end(SIGKILL);
        std::error_code ignored;
        fs::remove_all(folder, ignored);
    }
    Policyd(const Policyd&) = delete;
    Policyd& operator=(const Policyd&) = delete;

    void configure(const std::string& more_policy, const std::string& more_dsn) const {
        std::ofstream(folder / "postfathom.toml")
            << "[cache]\ndirectory = \"" << (folder / "cache").string()
            << "\"\n[notice]\nsocket = \"" << notice_socket() << "\"\n[mail_log]\nfile = \""
            << (folder / "mail.log").string() << "\"\n[policy]\nsocket = \"" << policy_socket()
            << "\"\n"
            << more_policy << "\n[dsn]\nsocket = \"" << dsn_socket() << "\"\n"
            << more_dsn << "\n";
    }

    void start() {
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            const int log = ::open((folder / "policyd.log").c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            ::dup2(log, STDERR_FILENO);
            const auto configuration = (folder / "postfathom.toml").string();
            ::execl(POLICYD, POLICYD, "-c", configuration.c_str(), nullptr);
            ::_exit(127);
        }
        REQUIRE_MESSAGE(until_logged("check_policy_service"), log());
    }

    // The exit status after a signal; -1 when it did not end of itself.
    int end(int signal) {
        ::kill(pid_, signal);
        int status = 0;
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (::waitpid(pid_, &status, WNOHANG) == 0) {
            if (std::chrono::steady_clock::now() > deadline) ::kill(pid_, SIGKILL);
            ::poll(nullptr, 0, 5);
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    void signal(int number) const { ::kill(pid_, number); }

    std::string log() const {
        std::ostringstream text;
        text << std::ifstream(folder / "policyd.log").rdbuf();
        return text.str();
    }
    bool until_logged(const std::string& text, int times = 1) const {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        const auto count = [&] {
            const auto all = log();
            int found = 0;
            for (auto at = all.find(text); at != all.npos; at = all.find(text, at + 1)) ++found;
            return found;
        };
        while (count() < times) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            ::poll(nullptr, 0, 5);
        }
        return true;
    }
    void append_log(const std::string& line) const {
        std::ofstream(folder / "mail.log", std::ios::app) << line << (line.empty() ? "" : "\n");
    }
    // Written by the process that asks, which is this one.
    void append_smtp_log(const std::string& text) const {
        append_log("Nov 23 01:11:21 mx postfix/smtp[" + std::to_string(::getpid()) + "]: " + text);
    }
    // The next notice that is not about the times of answers, or none within the time.
    std::optional<Notice> notice(std::chrono::milliseconds patience = 5s) const {
        auto found = any_notice(patience);
        while (found && std::holds_alternative<HookTimes>(*found)) found = any_notice(patience);
        return found;
    }
    // What was told last of the answers on a socket, with all notices that are there taken.
    std::optional<HookTimes> last_times(HookSocket hook) const {
        std::optional<HookTimes> last;
        while (const auto found = any_notice(0ms))
            if (const auto* times = std::get_if<HookTimes>(&*found); times && times->hook == hook)
                last = *times;
        return last;
    }
    std::optional<Notice> any_notice(std::chrono::milliseconds patience) const {
        pollfd readable{notices_.get(), POLLIN, 0};
        if (::poll(&readable, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
        char bytes[max_notice_bytes];
        const auto count = ::recv(notices_.get(), bytes, sizeof bytes, 0);
        auto decoded =
            decode_notice({bytes, static_cast<std::size_t>(std::max<ssize_t>(0, count))});
        REQUIRE(decoded);
        return *decoded;
    }

    std::string policy_socket() const { return (folder / "policy.sock").string(); }
    std::string dsn_socket() const { return (folder / "dsn.sock").string(); }
    std::string notice_socket() const { return (folder / "notice.sock").string(); }
    Client policy() const { return Client(policy_socket()); }
    Client dsn() const { return Client(dsn_socket()); }

    fs::path folder;

  private:
    pid_t pid_ = -1;
    Descriptor notices_;
};

// A port that nobody listens on just now.
std::uint16_t free_port() {
    const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket.get(), raw, size) == 0);
    REQUIRE(::getsockname(socket.get(), raw, &size) == 0);
    return ntohs(address.sin_port);
}

std::string netstring(const std::string& text) {
    return std::to_string(text.size()) + ":" + text + ",";
}

const std::string not_found = "9:NOTFOUND ,";

}  // namespace

TEST_CASE("the start-up lines are what goes into main.cf, and the end is clean") {
    Policyd policyd;
    CHECK(policyd.log().find("smtp_delivery_status_filter = socketmap:unix:" +
                             policyd.dsn_socket() + ":dsn") != std::string::npos);
    CHECK(policyd.log().find("check_policy_service { unix:" + policyd.policy_socket() +
                             ", timeout=3s, try_limit=1, default_action=DUNNO }") !=
          std::string::npos);
    auto client = policyd.policy();
    CHECK(policyd.end(SIGTERM) == 0);
    CHECK(client.receive("") == "<closed>");
    CHECK_FALSE(fs::exists(policyd.policy_socket()));
    CHECK_FALSE(fs::exists(policyd.dsn_socket()));
}

TEST_CASE("policy answers warn of an ill next hop, found by route or by domain") {
    Policyd policyd;
    auto client = policyd.policy();
    const std::string brief = "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works\n\n";
    CHECK(client.ask_policy("you@example.org") == "action=WARN example.org: " + brief);
    CHECK(client.ask_policy("you@EXAMPLE.com") == "action=WARN [relay.example.net]:587: " + brief);
    CHECK(client.ask_policy("you@example.org", "1", "END-OF-MESSAGE") ==
          "action=WARN example.org: " + brief);
    CHECK(client.ask_policy("you@example.org", "1", "VRFY") == "action=DUNNO\n\n");
    client.send("request=junk\n\n");
    CHECK(client.receive("\n\n") == "action=DUNNO\n\n");
    SUBCASE("an unknown one is DUNNO, and the prober hears of it once") {
        for (int i = 0; i < 3; ++i)
            CHECK(client.ask_policy("you@unknown.example.net") == "action=DUNNO\n\n");
        CHECK(policyd.notice() == Notice{VerdictWanted{"unknown.example.net"}});
        CHECK_FALSE(policyd.notice(200ms));
    }
}

TEST_CASE("the prober is told how long answers took, by the socket they were asked on") {
    Policyd policyd;
    const auto answers = [](const HookTimes& times) {
        return std::accumulate(times.counts.begin(), times.counts.end(), std::uint64_t{0});
    };
    const auto first = policyd.last_times(HookSocket::policy);
    REQUIRE(first);
    CHECK(answers(*first) == 0);
    auto client = policyd.policy();
    for (int i = 0; i < 3; ++i) client.ask_policy("you@example.org");
    CHECK(policyd.end(SIGTERM) == 0);
    const auto last = policyd.last_times(HookSocket::policy);
    REQUIRE(last);
    CHECK(answers(*last) == 3);
    CHECK(last->microseconds > 0);
}

TEST_CASE("a message is tagged once, whatever its recipients and connections") {
    Policyd policyd("mode = \"tag\"");
    auto client = policyd.policy();
    const auto first = client.ask_policy("you@example.org", "1.1");
    CHECK(first.starts_with("action=PREPEND X-Postfathom-Diagnosis: "));
    CHECK(first.find("; next-hop=example.org; diagnosis=pmtu-black-hole; direction=inbound; "
                     "path-mtu=1400; mss=1360; since=") != std::string::npos);
    CHECK(client.ask_policy("me@example.org", "1.1") == "action=DUNNO\n\n");
    CHECK(policyd.policy().ask_policy("me@example.org", "1.1") == "action=DUNNO\n\n");
    CHECK(client.ask_policy("you@example.org", "1.2").starts_with("action=PREPEND "));
}

TEST_CASE("observe says nothing to Postfix, and a reload changes the mode") {
    Policyd policyd("mode = \"observe\"");
    auto client = policyd.policy();
    CHECK(client.ask_policy("you@example.org") == "action=DUNNO\n\n");
    CHECK(policyd.until_logged("example.org: pmtu-black-hole inbound"));
    policyd.configure("mode = \"warn\"", "");
    policyd.signal(SIGHUP);
    REQUIRE(policyd.until_logged("read again"));
    CHECK(client.ask_policy("you@example.org").starts_with("action=WARN "));
    SUBCASE("a broken file leaves the settings as they were") {
        policyd.configure("mode = \"loud\"", "");
        policyd.signal(SIGHUP);
        REQUIRE(policyd.until_logged("the settings in force stay"));
        CHECK(client.ask_policy("you@example.org").starts_with("action=WARN "));
    }
}

TEST_CASE(
    "mail is deferred for named diagnoses and next hops only, and a check may have its mode") {
    Policyd policyd(
        "mode = \"warn\"\n[defer]\ndiagnoses = [\"pmtu-black-hole\"]\nnext_hops = "
        "[\"example.org\"]");
    auto client = policyd.policy();
    const auto ask = [&](const std::string& recipient, const std::string& context) {
        client.send("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=" + recipient +
                    "\ninstance=7\npolicy_context=" + context + "\n\n");
        return client.receive("\n\n");
    };
    CHECK(ask("you@example.org", "defer") ==
          "action=DEFER_IF_PERMIT 4.4.2 mail for example.org has to wait (path: pmtu-black-hole "
          "inbound, path MTU 1400, MSS 1360 works)\n\n");
    CHECK(ask("you@example.com", "defer").starts_with("action=WARN [relay.example.net]:587: "));
    CHECK(ask("you@example.org", "").starts_with("action=WARN "));
    CHECK(ask("you@example.org", "observe") == "action=DUNNO\n\n");
    CHECK(ask("you@example.org", "tag").starts_with("action=PREPEND "));
    CHECK(ask("you@example.org", "inbound").starts_with("action=WARN "));
    CHECK(policyd.until_logged("policy_context=inbound in main.cf is no mode"));
}

TEST_CASE("policy requests come over TCP as well, on a loopback address") {
    const auto port = free_port();
    Policyd policyd("listen = \"127.0.0.1:" + std::to_string(port) + "\"");
    CHECK(policyd.log().find("check_policy_service { inet:127.0.0.1:" + std::to_string(port) +
                             ", timeout=3s, try_limit=1, default_action=DUNNO }") !=
          std::string::npos);
    Client client(port);
    CHECK(client.ask_policy("you@example.org").starts_with("action=WARN example.org: "));
    CHECK(policyd.policy().ask_policy("you@example.org").starts_with("action=WARN "));
    client.send("GET / HTTP/1.1\r\n\r\n");
    CHECK(client.receive("").ends_with("<closed>"));
    CHECK(policyd.until_logged("policy socket: expected name=value"));
}

TEST_CASE("a request that does not come to its end is given up, and idle connections are not") {
    Policyd policyd("request_timeout = \"1s\"");
    auto idle = policyd.policy();
    auto used = policyd.policy();
    CHECK(used.ask_policy("you@example.org").starts_with("action=WARN "));
    auto half = policyd.policy();
    half.send("request=smtpd_access_policy\nprotocol_state=RC");
    auto half_map = policyd.dsn();
    half_map.send("20:dsn 4.4");
    CHECK(half.receive("") == "<closed>");
    CHECK(half_map.receive("") == "<closed>");
    CHECK(policyd.until_logged("policy socket: 1 of 3 connections did not end a request"));
    CHECK(policyd.until_logged("dsn socket: 1 of 1 connections did not end a request"));
    // Drip by drip is no better, however steadily it comes.
    auto slow = policyd.policy();
    slow.send("request=smtpd_access_policy\n");
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!slow.closed() && std::chrono::steady_clock::now() < deadline) {
        slow.send("a=b\n");
        ::poll(nullptr, 0, 50);
    }
    CHECK(std::chrono::steady_clock::now() < deadline);
    CHECK(idle.ask_policy("you@example.org").starts_with("action=WARN "));
    CHECK(used.ask_policy("you@example.org").starts_with("action=WARN "));
    SUBCASE("and who never takes an answer is given up too") {
        auto greedy = policyd.policy();
        std::string many;
        for (int i = 0; i < 2000; ++i)
            many +=
                "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=you@example.org\n\n";
        const auto child = ::fork();
        if (child == 0) {
            for (int i = 0; i < 1000; ++i) greedy.send(many);
            ::_exit(0);
        }
        CHECK(
            policyd.until_logged("policy socket: 1 of 3 connections did not end a request, or", 2));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
}

TEST_CASE("a client whose network has trouble is named once for each message") {
    Policyd policyd;
    auto client = policyd.policy();
    const auto ask = [&](const std::string& state, const std::string& recipient,
                         const std::string& instance, const std::string& address) {
        client.send("request=smtpd_access_policy\nprotocol_state=" + state + "\nrecipient=" +
                    recipient + "\ninstance=" + instance + "\nclient_address=" + address + "\n\n");
        return client.receive("\n\n");
    };
    const std::string warning =
        "client network 198.51.100.0/24: 7 TLS handshakes failed, 1 succeeded since ";
    CHECK(ask("RCPT", "you@example.net", "1.1", "198.51.100.9")
              .starts_with("action=WARN " + warning));
    CHECK(ask("RCPT", "me@example.net", "1.1", "198.51.100.9") == "action=DUNNO\n\n");
    CHECK(ask("RCPT", "you@example.org", "1.2", "198.51.100.9").find("works; " + warning) !=
          std::string::npos);
    CHECK(ask("EHLO", "", "", "198.51.100.10").starts_with("action=WARN " + warning));
    CHECK(ask("EHLO", "", "", "198.51.100.10") == "action=DUNNO\n\n");
    CHECK(ask("RCPT", "you@example.net", "1.3", "192.0.2.9") == "action=DUNNO\n\n");
}

TEST_CASE("a broken policy request ends its connection, and no other") {
    Policyd policyd;
    auto good = policyd.policy();
    for (const std::string& request : {std::string("GET / HTTP/1.1\r\n"), std::string("\n"),
                                       std::string(1'000'000, 'x'), std::string("a=\0\n", 4)}) {
        auto client = policyd.policy();
        client.send(request);
        CHECK(client.receive("").ends_with("<closed>"));
    }
    std::string endless = "request=smtpd_access_policy\n";
    while (endless.size() < 100'000) endless += "attribute=value\n";
    auto client = policyd.policy();
    client.send(endless);
    CHECK(client.receive("").ends_with("<closed>"));
    CHECK(good.ask_policy("you@example.org").starts_with("action=WARN "));
    CHECK(policyd.log().find("policy socket: expected name=value") != std::string::npos);
}

TEST_CASE("requests may come byte by byte, or several at once") {
    Policyd policyd;
    auto client = policyd.policy();
    const std::string request =
        "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=you@example.org\ninstance="
        "1\n\n";
    for (const char byte : request) client.send({&byte, 1});
    const auto answer = client.receive("\n\n");
    CHECK(answer.starts_with("action=WARN example.org: "));
    std::string many;
    for (int i = 0; i < 500; ++i) many += request;
    client.send(many);
    std::string answers;
    while (answers.size() < 500 * answer.size() && !answers.ends_with("<timeout>"))
        answers += client.receive("\n\n");
    std::string want;
    for (int i = 0; i < 500; ++i) want += answer;
    CHECK(answers == want);
}

TEST_CASE("the dsn table appends the diagnosis of a server that the text names") {
    Policyd policyd;
    auto client = policyd.dsn();
    const std::string text =
        "4.4.2 lost connection with mx.example.org[192.0.2.1]:25 while sending RCPT TO";
    CHECK(client.ask_map("dsn " + text) == netstring("OK " + text + tag));
    for (const std::string& request :
         {"other " + text, std::string("dsn 2.0.0 250 2.0.0 Ok: queued as 45952A7814D"),
          "dsn 5" + text.substr(1), std::string("dsn"), std::string("")})
        CHECK_MESSAGE(client.ask_map(request) == not_found, request);
    CHECK(client.ask_map("dsn " + text + std::string(50'000, 'x')) == not_found);
    SUBCASE("a server without a verdict is left alone, and reported once") {
        const std::string other = "dsn 4.4.1 connect to mx.example.net[192.0.2.9]:25: refused";
        CHECK(client.ask_map(other) == not_found);
        CHECK(client.ask_map(other) == not_found);
        const auto notice = policyd.notice();
        REQUIRE(notice);
        CHECK(to_string(std::get<FailureSeen>(*notice).endpoint) == "mx.example.net[192.0.2.9]:25");
        CHECK_FALSE(policyd.notice(200ms));
    }
    SUBCASE("what is no netstring ends the connection") {
        client.send("hello");
        CHECK(client.receive("") == "<closed>");
    }
}

TEST_CASE(
    "the dsn table finds the server of a text without one in the log of the process that asks") {
    // Generous, so that a slow machine does not turn "waits" into "gave up".
    Policyd policyd("", "log_wait = \"5s\"");
    auto client = policyd.dsn();
    const std::string text = "4.7.5 Cannot start TLS: handshake failure";
    const std::string error =
        "SSL_connect error to mx.example.org[192.0.2.1]:25: Connection timed out";
    SUBCASE("when the line is there already") {
        policyd.append_smtp_log(error);
        CHECK(client.ask_map("dsn " + text) == netstring("OK " + text + tag));
    }
    SUBCASE("when it comes while the question waits") {
        client.send(netstring("dsn " + text));
        policyd.append_smtp_log(error);
        CHECK(client.receive(",") == netstring("OK " + text + tag));
    }
    SUBCASE("other clients are answered in the meantime") {
        client.send(netstring("dsn " + text));
        CHECK(policyd.policy().ask_policy("you@example.org").starts_with("action=WARN "));
        CHECK(policyd.dsn().ask_map("dsn 2.0.0 ok") == not_found);
        policyd.append_smtp_log(
            "45952A7814D: to=<you@example.org>, relay=none, delay=0, dsn=2.0.0, "
            "status=sent (ok)");
        policyd.append_smtp_log(error);
        CHECK(client.receive(",") == netstring("OK " + text + tag));
    }
    SUBCASE("a client that goes away while it waits takes nothing with it") {
        {
            auto impatient = policyd.dsn();
            impatient.send(netstring("dsn " + text));
        }
        policyd.append_smtp_log(error);
        CHECK(client.ask_map("dsn 4.4.2 lost connection with mx.example.org[192.0.2.1]:25 while x")
                  .ends_with(tag + ","));
    }
}

TEST_CASE("the text stays as it is when the log tells nothing in time") {
    Policyd policyd("", "log_wait = \"100ms\"");
    auto client = policyd.dsn();
    CHECK(client.ask_map("dsn 4.7.5 Cannot start TLS: handshake failure") == not_found);
}

TEST_CASE("a thousand idle connections are held, more are refused") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    Policyd policyd;
    std::vector<Client> idle;
    for (int i = 0; i < 999; ++i) idle.push_back(policyd.policy());
    auto last = policyd.policy();
    CHECK(last.ask_policy("you@example.org").starts_with("action=WARN "));
    auto refused = policyd.policy();
    CHECK(refused.receive("") == "<closed>");
    CHECK(policyd.until_logged("1000 connections are open, which is the limit"));
    CHECK(idle.front().ask_policy("you@example.org").starts_with("action=WARN "));
    idle.pop_back();
    // The end of one makes room for another, as soon as it was noticed.
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    for (;;) {
        auto again = policyd.policy();
        if (again.ask_policy("you@example.org").starts_with("action=WARN ")) break;
        REQUIRE(std::chrono::steady_clock::now() < deadline);
    }
}

TEST_CASE("a client that asks and never reads is held up, not everybody") {
    Policyd policyd;
    auto greedy = policyd.policy();
    std::string many;
    for (int i = 0; i < 200; ++i)
        many += "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=you@example.org\n\n";
    // More than the socket's buffers hold, from a process of its own, since it will block.
    const auto child = ::fork();
    if (child == 0) {
        for (int i = 0; i < 1000; ++i) greedy.send(many);
        ::_exit(0);
    }
    for (int i = 0; i < 100; ++i)
        CHECK(policyd.policy().ask_policy("you@example.org").starts_with("action=WARN "));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

TEST_CASE("the cache may be empty or missing") {
    Policyd policyd;
    REQUIRE(policyd.end(SIGINT) == 0);
    fs::remove_all(policyd.folder / "cache");
    fs::remove(policyd.folder / "policyd.log");
    policyd.start();
    CHECK(policyd.policy().ask_policy("you@example.org") == "action=DUNNO\n\n");
    CHECK(policyd.dsn().ask_map(
              "dsn 4.4.2 lost connection with mx.example.org[192.0.2.1]:25 while x") == not_found);
}
