// SPDX-License-Identifier: Apache-2.0
// A mail server for tests that behaves, or misbehaves, as told on the command line:
//   fake_mx --listen ADDRESS --port N --cert FILE --key FILE --mode MODE [--delay SECONDS]
// The modes are listed in `modes` below and in hostile_mx.cpp. Prints "ready" when it listens. One
// thread per connection; serves until it is killed. A line per connection goes to standard output.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "tests/tools/fake_hello.hpp"
#include "tests/tools/hostile_mx.hpp"
#include "tests/tools/listening.hpp"

using namespace postfathom;

namespace {

constexpr std::array modes{
    "normal",          // SMTP with STARTTLS
    "implicit",        // TLS at once (smtps)
    "mute-starttls",   // 220 to STARTTLS, then reads and answers nothing
    "mute-in-turns",   // the same on every second connection, and normal on the others
    "half-a-flight",   // --delay bytes of the answer to the ClientHello, then nothing
    "slow-tls",        // as normal, but waits --delay before the server's flight
    "slow-greeting",   // as normal, but waits --delay before the greeting
    "no-starttls",     // does not offer STARTTLS
    "refuse-tls",      // offers STARTTLS and answers it with 454
    "helo-only",       // refuses EHLO
    "busy",            // greets with 421 and closes
    "reject",          // greets with 554
    "no-greeting",     // says nothing
    "silent-once",     // says nothing on its first connection, and is as normal after that
    "close-greeting",  // closes at once
    "reset-hello",     // resets the connection when the ClientHello comes
    "close-hello",     // closes it in order then
    "alert",           // answers the ClientHello with the TLS alert of number --delay
    "garbage",         // speaks SSH
    "garbage-tls",     // 220 to STARTTLS, then clear text
    "swallow-hello",   // never answers a ClientHello of exactly --delay bytes
    "one-read",        // answers only a ClientHello that came in one read, else nothing
    "one-read-close",  // the same, else closes
    "reset-large",     // resets the connection at a ClientHello of more than --delay bytes
    "swallow-line",    // never answers a line of exactly --delay bytes, line end included
    "tls-1.0",         // as normal, with TLS 1.0 and nothing newer
    "renegotiate",     // as normal with TLS 1.2, and begins again with each line inside it
    "flood-inside",    // as normal, and answers EHLO inside TLS without end
};

struct Options {
    std::string listen = "127.0.0.1";
    int port = 0;
    std::string cert;
    std::string key;
    std::string mode = "normal";
    double delay = 0;
};

[[noreturn]] void usage(const std::string& what) {
    std::fprintf(stderr, "fake_mx: %s; modes:", what.c_str());
    for (const auto* mode : modes) std::fprintf(stderr, " %s", mode);
    std::fprintf(stderr, "\n");
    std::exit(64);
}

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--listen")
            options.listen = value;
        else if (name == "--port")
            options.port = std::atoi(value.c_str());
        else if (name == "--cert")
            options.cert = value;
        else if (name == "--key")
            options.key = value;
        else if (name == "--mode")
            options.mode = value;
        else if (name == "--delay")
            options.delay = std::atof(value.c_str());
        else
            usage("unknown option " + name);
    }
    bool known = is_hostile(options.mode);
    for (const auto* mode : modes) known = known || options.mode == mode;
    if (!known) usage("unknown mode " + options.mode);
    if (options.port <= 0 || options.port > 65535) usage("--port is missing");
    return options;
}

struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSession {
    void operator()(SSL* session) const { SSL_free(session); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

Context make_context(const Options& options) {
    if (options.cert.empty()) return nullptr;
    Context context(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_chain_file(context.get(), options.cert.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), options.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        std::exit(1);
    }
    if (options.mode == "renegotiate") SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    if (options.mode == "tls-1.0") {
        SSL_CTX_set_security_level(context.get(), 0);
        SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
        SSL_CTX_set_max_proto_version(context.get(), TLS1_VERSION);
    }
    return context;
}

// One connection. Text goes through TLS once there is a session.
class Peer {
  public:
    Peer(int socket, unsigned number, const Options& options, SSL_CTX* context)
        : socket_(socket), number_(number), options_(options), context_(context) {
        const timeval patience{120, 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    ~Peer() { ::close(socket_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void serve() {
        const auto& mode = options_.mode;
        if (mode == "close-greeting") return;
        if (mode == "no-greeting") return wait_for_end();
        if (mode == "silent-once" && number_ == 0) return wait_for_end();
        if (mode == "slow-greeting") wait(options_.delay);
        if (mode == "implicit" && !start_tls()) return;
        if (mode == "garbage") {
            say("SSH-2.0-Example\r\n");
            return wait_for_end();
        }
        if (mode == "busy") return say("421 4.3.2 mail.example.org closing, come again later\r\n");
        if (is_hostile(mode)) {
            if (!converse_hostile(socket_, mode) || !start_tls()) return;
        } else if (mode == "reject") {
            say("554-mail.example.org\r\n554 5.7.1 no service here\r\n");
        } else {
            say("220-mail.example.org ESMTP fake\r\n220 waits\r\n");
        }
        while (auto line = read_line())
            if (!answer(*line)) return;
    }

  private:
    bool answer(const std::string& line) {
        const auto& mode = options_.mode;
        std::printf("said %.*s\n", static_cast<int>(line.find_last_not_of('\r') + 1), line.c_str());
        std::fflush(stdout);
        if (session_ && mode == "renegotiate") {
            SSL_renegotiate(session_.get());
            SSL_do_handshake(session_.get());
        }
        while (session_ && mode == "flood-inside") {
            constexpr std::string_view more = "250-and so on\r\n";
            if (SSL_write(session_.get(), more.data(), more.size()) <= 0) return false;
        }
        const auto with_end = line.size() + 1;
        if (mode == "swallow-line" && session_ == nullptr &&
            with_end == static_cast<std::size_t>(options_.delay))
            return wait_for_end(), false;
        if (line.starts_with("QUIT")) {
            say("221 2.0.0 Bye\r\n");
            return false;
        }
        if (mode == "reject") {
            say("503 5.5.1 no\r\n");
        } else if (line.starts_with("EHLO") && mode == "helo-only") {
            say("502 5.5.2 what?\r\n");
        } else if (line.starts_with("EHLO")) {
            const bool offer = session_ == nullptr && mode != "no-starttls";
            say(std::string("250-mail.example.org\r\n250-PIPELINING\r\n") +
                (offer ? "250-STARTTLS\r\n" : "") + "250 8BITMIME\r\n");
        } else if (line.starts_with("HELO")) {
            say("250 mail.example.org\r\n");
        } else if (line.starts_with("NOOP") || line.starts_with("RSET")) {
            say("250 2.0.0 Ok\r\n");
        } else if (line.starts_with("STARTTLS")) {
            return answer_starttls();
        } else {
            say("500 5.5.2 unknown\r\n");
        }
        return true;
    }

    bool answer_starttls() {
        const auto& mode = options_.mode;
        if (mode == "refuse-tls") {
            say("454 4.7.0 TLS not available\r\n");
            return true;
        }
        say("220 2.0.0 Ready to start TLS\r\n");
        if (mode == "mute-starttls") return wait_for_end(), false;
        if (mode == "mute-in-turns" && number_ % 2 == 1) return wait_for_end(), false;
        if (mode == "half-a-flight") {
            say(flight().substr(0, static_cast<std::size_t>(options_.delay)));
            return wait_for_end(), false;
        }
        if (mode == "garbage-tls") {
            wait_for_input();
            say("500 5.5.1 what is this?\r\n");
            return wait_for_end(), false;
        }
        if (mode == "close-hello") {
            std::array<char, 4096> hello{};
            (void)!::recv(socket_, hello.data(), hello.size(), 0);
            return false;
        }
        if (mode == "alert") {
            wait_for_input();
            // A fatal alert in a record of its own (RFC 8446 sections 5.1 and 6).
            std::string record{21, 3, 3, 0, 2, 2};
            record += static_cast<char>(options_.delay);
            say(record);
            return wait_for_end(), false;
        }
        if (mode == "reset-hello") {
            wait_for_input();
            reset_when_closed();
            return false;
        }
        switch (test::fate_of_hello(socket_, mode, static_cast<std::size_t>(options_.delay))) {
            case test::HelloFate::answered:
                break;
            case test::HelloFate::swallowed:
                return wait_for_end(), false;
            case test::HelloFate::reset:
                reset_when_closed();
                return false;
            case test::HelloFate::closed:
                return false;
        }
        if (mode == "slow-tls") {
            wait_for_input();
            wait(options_.delay);
        }
        return start_tls();
    }

    // What the server answers to the ClientHello that is on its way.
    std::string flight() {
        const std::unique_ptr<SSL, FreeSession> session(SSL_new(context_));
        BIO* in = BIO_new(BIO_s_mem());
        BIO* out = BIO_new(BIO_s_mem());
        SSL_set_bio(session.get(), in, out);
        SSL_set_accept_state(session.get());
        std::array<char, 16384> buffer{};
        while (BIO_ctrl_pending(out) == 0) {
            const auto length = ::recv(socket_, buffer.data(), buffer.size(), 0);
            if (length <= 0) return {};
            BIO_write(in, buffer.data(), static_cast<int>(length));
            SSL_do_handshake(session.get());
        }
        std::string bytes(BIO_ctrl_pending(out), '\0');
        BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
        ERR_clear_error();
        return bytes;
    }

    bool start_tls() {
        session_.reset(SSL_new(context_));
        SSL_set_fd(session_.get(), socket_);
        const bool accepted = SSL_accept(session_.get()) == 1;
        std::printf("handshake %s\n", accepted ? "completed" : "not completed");
        std::fflush(stdout);
        ERR_clear_error();
        return accepted;
    }

    void say(const std::string& text) {
        if (session_)
            SSL_write(session_.get(), text.data(), static_cast<int>(text.size()));
        else
            (void)!::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
    }

    std::optional<std::string> read_line() {
        std::string line;
        char byte = 0;
        while (line.size() < 2048) {
            const auto length = session_ ? SSL_read(session_.get(), &byte, 1)
                                         : static_cast<int>(::recv(socket_, &byte, 1, 0));
            if (length != 1) return std::nullopt;
            if (byte == '\n') return line;
            line += byte;
        }
        return std::nullopt;
    }

    void reset_when_closed() const {
        const linger reset{1, 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    void wait_for_input() const {
        pollfd waiting{socket_, POLLIN, 0};
        ::poll(&waiting, 1, 120'000);
    }
    void wait_for_end() const {
        std::array<char, 4096> buffer{};
        while (::recv(socket_, buffer.data(), buffer.size(), 0) > 0) {
        }
    }
    static void wait(double seconds) { ::poll(nullptr, 0, static_cast<int>(seconds * 1000)); }

    int socket_;
    unsigned number_;  // of the connection
    const Options& options_;
    SSL_CTX* context_;
    std::unique_ptr<SSL, FreeSession> session_;
};

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    const auto options = read_options(argc, argv);
    const auto context = make_context(options);
    const int listener = listen_on(options.listen, options.port);
    if (listener < 0) {
        std::perror("fake_mx: listen");
        return 1;
    }
    std::printf("ready\n");
    std::fflush(stdout);
    for (unsigned number = 0;; ++number) {
        const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;
        std::printf("connection\n");
        std::fflush(stdout);
        std::thread([socket, number, &options, &context] {
            Peer(socket, number, options, context.get()).serve();
        }).detach();
    }
}
