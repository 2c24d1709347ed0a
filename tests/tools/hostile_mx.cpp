// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/hostile_mx.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace {

// What follows a text. `flood`: the last line over and over; `drip`: it comes byte by byte, one a
// second, again and again; `leave`: the connection is closed.
enum class Then { go_on, flood, drip, leave };

struct Part {
    std::string_view text;
    Then then = Then::go_on;
};

struct Script {
    std::string_view mode;
    Part greeting;
    Part hello;     // to EHLO or CAPABILITY
    Part starttls;  // to STARTTLS
};

constexpr Part greet{"220 mail.example.org ESMTP\r\n"};
constexpr Part offer{"250-mail.example.org\r\n250 STARTTLS\r\n"};
constexpr Part go{"220 2.0.0 go\r\n"};
constexpr Part imap_greet{"* OK ready\r\n"};
constexpr Part imap_offer{"* CAPABILITY IMAP4rev1 STARTTLS\r\nA1 OK\r\n"};

constexpr std::array scripts{
    Script{"inject", greet, offer, {"220 go\r\n250 injected\r\n"}},
    Script{"imap-inject", imap_greet, imap_offer, {"A2 OK go\r\n* BYE injected\r\n"}},
    Script{"flood-greeting", {"220-more\r\n", Then::flood}, offer, go},
    Script{"flood-line", {"220 more", Then::flood}, offer, go},
    Script{"flood-hello", greet, {"250-more\r\n", Then::flood}, go},
    Script{"imap-flood", imap_greet, {"* OK more\r\n", Then::flood}, go},
    Script{"imap-literal", {"* OK {999999999}\r\nx", Then::flood}, imap_offer, go},
    Script{"drip-greeting", {"220 slowly slowly", Then::drip}, offer, go},
    Script{"drip-hello", greet, {"250-slowly\r\n", Then::drip}, go},
    Script{"drip-starttls", greet, offer, {"220 slowly slowly", Then::drip}},
    Script{"leave-in-hello", greet, {"250-x\r\n421 4.3.2 going down\r\n", Then::leave}, go},
    Script{"leave-in-starttls", greet, offer, {"421 4.3.2 going down\r\n", Then::leave}},
    Script{"imap-bye", {"* BYE too many\r\n", Then::leave}, imap_offer, go},
    Script{"imap-preauth", {"* PREAUTH welcome\r\n"}, imap_offer, go},
    Script{"control-bytes",
           {std::string_view("220 \0\x1b[2Jx\x07\r\n", 13)},
           {"250-\x01mail\r\n250 STARTTLS\r\n"},
           go},
    Script{"crossed-out", {"220 *******\r\n"}, {"250-mail\r\n250-SIZE\r\n250 XXXXXXXA\r\n"}, go},
};

const Script* script_of(const std::string& mode) {
    const auto* found = std::find_if(scripts.begin(), scripts.end(),
                                     [&](const Script& script) { return script.mode == mode; });
    return found == scripts.end() ? nullptr : found;
}

bool send_all(int socket, std::string_view text) {
    while (!text.empty()) {
        const auto length = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
        if (length <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(length));
    }
    return true;
}

// False: the conversation is over.
bool say(int socket, const Part& part) {
    if (part.then == Then::drip) {
        for (std::size_t i = 0; send_all(socket, part.text.substr(i % part.text.size(), 1)); ++i) {
            pollfd gone{socket, POLLRDHUP, 0};
            if (::poll(&gone, 1, 1000) > 0) return false;
        }
        return false;
    }
    bool taken = send_all(socket, part.text);
    while (taken && part.then == Then::flood) taken = send_all(socket, part.text);
    return taken && part.then == Then::go_on;
}

// One line of the client; empty: it is gone.
std::string read_line(int socket) {
    std::string line;
    char byte = 0;
    while (line.size() < 2048 && ::recv(socket, &byte, 1, 0) == 1) {
        line += byte;
        if (byte == '\n') return line;
    }
    return {};
}

}  // namespace

bool is_hostile(const std::string& mode) { return script_of(mode) != nullptr; }

bool converse_hostile(int socket, const std::string& mode) {
    const auto& script = *script_of(mode);
    if (!say(socket, script.greeting)) return false;
    for (auto line = read_line(socket); !line.empty(); line = read_line(socket)) {
        if (line.find("STARTTLS") != std::string::npos) return say(socket, script.starttls);
        if (line.find("QUIT") != std::string::npos || line.find("LOGOUT") != std::string::npos)
            return false;
        if (!say(socket, script.hello)) return false;
    }
    return false;
}
