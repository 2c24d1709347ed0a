// SPDX-License-Identifier: Apache-2.0
// SMTP servers that fail, one trouble per address, for tests against a real Postfix:
//   trouble-server 192.0.2.1:25=hang-in-handshake 192.0.2.2:25=reset-in-handshake ...
// Writes "ready" when all listen, and a line for each message that it took, in clear text; ends on
// SIGTERM.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "lib/base/descriptor.hpp"

using postfathom::Descriptor;

namespace {

struct Client {
    Descriptor socket;
    std::string trouble;
    std::string input;
    bool silent = false;
    bool in_message = false;
};

void say(const Client& client, const std::string& reply) {
    const auto line = reply + "\r\n";
    if (::send(client.socket.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0)
        std::perror("send");
}

void reset(Client& client) {
    const linger now{1, 0};
    ::setsockopt(client.socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client.socket.reset();
}

void greet(Client& client) {
    if (client.trouble == "hang-in-greeting") {
        client.silent = true;
    } else if (client.trouble == "close-in-greeting") {
        client.socket.reset();
    } else if (client.trouble == "busy") {
        say(client, "421 4.3.2 too busy");
        client.socket.reset();
    } else {
        say(client, "220 server.example.org ESMTP");
    }
}

// The bytes after "220 Ready" are a ClientHello.
void handshake(Client& client) {
    if (client.trouble == "reset-in-handshake") {
        reset(client);
    } else if (client.trouble == "close-in-handshake") {
        client.socket.reset();
    } else if (client.trouble == "garbage-in-handshake") {
        say(client, "this is not TLS, and it never will be");
        client.silent = true;
    } else {
        client.silent = true;  // hang-in-handshake
    }
}

void answer(Client& client, const std::string& command) {
    const auto& trouble = client.trouble;
    if (command.starts_with("EHLO")) {
        if (trouble == "hang-in-ehlo") {
            client.silent = true;
        } else {
            const bool tls = trouble != "no-starttls";
            say(client, std::string("250-server.example.org\r\n250") +
                            (tls ? "-PIPELINING\r\n250 STARTTLS" : " PIPELINING"));
        }
    } else if (command.starts_with("STARTTLS")) {
        if (trouble == "refuse-starttls") {
            say(client, "454 4.7.0 TLS not available");
        } else if (trouble == "hang-in-starttls") {
            client.silent = true;
        } else {
            say(client, "220 2.0.0 Ready to start TLS");
            client.trouble = "in-handshake:" + trouble;
        }
    } else if (command.starts_with("DATA")) {
        say(client, "354 End data with <CR><LF>.<CR><LF>");
        client.in_message = true;
    } else if (client.in_message) {
        if (command != ".") return;
        client.in_message = false;
        std::printf("%s took a message in clear text\n", trouble.c_str());
        std::fflush(stdout);
        say(client, "250 2.0.0 taken in clear");
    } else if (command.starts_with("QUIT")) {
        say(client, "221 2.0.0 Bye");
        client.socket.reset();
    } else {
        say(client, "250 2.0.0 Ok");
    }
}

void read(Client& client) {
    char bytes[4096];
    const auto count = ::recv(client.socket.get(), bytes, sizeof bytes, 0);
    if (count <= 0) return client.socket.reset();
    if (client.silent) return;
    constexpr std::string_view mark = "in-handshake:";
    if (client.trouble.starts_with(mark)) {
        client.trouble.erase(0, mark.size());
        return handshake(client);
    }
    client.input.append(bytes, static_cast<std::size_t>(count));
    for (auto end = client.input.find("\r\n"); end != std::string::npos && client.socket;
         end = client.input.find("\r\n")) {
        const auto command = client.input.substr(0, end);
        client.input.erase(0, end + 2);
        answer(client, command);
    }
}

// "192.0.2.1:25=busy"
Descriptor listen_at(const std::string& place) {
    const auto colon = place.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(place.substr(colon + 1))));
    Descriptor listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int yes = 1;
    ::setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::inet_pton(AF_INET, place.substr(0, colon).c_str(), &address.sin_addr) != 1 ||
        ::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listening.get(), 100) != 0) {
        std::fprintf(stderr, "%s: %s\n", place.c_str(), std::strerror(errno));
        std::exit(1);
    }
    return listening;
}

}  // namespace

int main(int argc, char** argv) {
    struct Place {
        Descriptor listening;
        std::string trouble;
    };
    std::vector<Place> places;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto equals = argument.find('=');
        places.push_back({listen_at(argument.substr(0, equals)), argument.substr(equals + 1)});
    }
    std::puts("ready");
    std::fflush(stdout);
    std::map<int, Client> clients;
    for (;;) {
        std::vector<pollfd> watched;
        for (const auto& place : places) watched.push_back({place.listening.get(), POLLIN, 0});
        for (const auto& [number, client] : clients) watched.push_back({number, POLLIN, 0});
        if (::poll(watched.data(), watched.size(), -1) < 0) return 1;
        for (std::size_t i = 0; i < watched.size(); ++i) {
            if (watched[i].revents == 0) continue;
            if (i < places.size()) {
                const int number = ::accept(watched[i].fd, nullptr, nullptr);
                if (number < 0) continue;
                auto& client = clients[number];
                client = Client{Descriptor(number), places[i].trouble, {}, false, false};
                greet(client);
            } else {
                read(clients[watched[i].fd]);
            }
        }
        std::erase_if(clients, [](const auto& entry) { return !entry.second.socket; });
    }
}
