// SPDX-License-Identifier: Apache-2.0
// A name server that is well, ill or hostile, as the first word of a file says, which is read for
// each question:
//   lying-name-server MODE-FILE ADDRESS
// Answers on 127.0.0.1:53, over UDP alone; ADDRESS is what every name has when it is well. Writes
// "ready"; ends on SIGTERM.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <string_view>

using namespace std::string_literals;

namespace {

constexpr std::size_t header_bytes = 12;
// RFC 1035 section 4.1.1: an answer, recursion desired and available.
constexpr unsigned answered = 0x8180;
constexpr unsigned truncated = 0x0200;
constexpr unsigned servfail = 2, nxdomain = 3, refused = 5;
constexpr unsigned type_a = 1;

std::string word(unsigned value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

// The first question; empty for what is none.
std::string_view question_of(std::string_view query) {
    auto at = header_bytes;
    while (at < query.size() && query[at] != 0) at += 1 + static_cast<unsigned char>(query[at]);
    at += 1 + 2 + 2;
    return at <= query.size() ? query.substr(header_bytes, at - header_bytes) : std::string_view{};
}

unsigned type_of(std::string_view question) {
    const auto type = question.substr(question.size() - 4, 2);
    return static_cast<unsigned>(static_cast<unsigned char>(type[0])) << 8 |
           static_cast<unsigned char>(type[1]);
}

std::string reply(std::string_view query, unsigned flags, const std::string& records = "",
                  unsigned count = 0) {
    return std::string(query.substr(0, 2)) + word(flags) + word(1) + word(count) + word(0) +
           word(0) + std::string(question_of(query)) + records;
}

// Of the name that was asked for, with a TTL of 0.
std::string address_record(const std::string& address) {
    in_addr binary{};
    if (inet_pton(AF_INET, address.c_str(), &binary) != 1) std::exit(2);
    return "\xc0\x0c\0\1\0\1\0\0\0\0\0\4"s +
           std::string(reinterpret_cast<const char*>(&binary), sizeof binary);
}

std::string random_bytes(std::size_t count) {
    static std::mt19937 random(1);
    std::string bytes(count, 0);
    for (auto& byte : bytes) byte = static_cast<char>(random());
    return bytes;
}

// Empty: nothing is said.
std::string answer(const std::string& mode, std::string_view query, const std::string& address) {
    if (mode == "mute") return {};
    if (mode == "servfail") return reply(query, answered | servfail);
    if (mode == "nxdomain") return reply(query, answered | nxdomain);
    if (mode == "refused") return reply(query, answered | refused);
    if (mode == "truncated") return reply(query, answered | truncated);
    if (mode == "garbage") return random_bytes(300);
    // As much as fits into a datagram, behind a header that is right.
    if (mode == "huge") return reply(query, answered, random_bytes(60'000), 0xffff);
    // A record that ends before its data, and a name that points at itself.
    if (mode == "broken") return reply(query, answered, "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xc0"s, 1);
    if (mode == "loop")
        return std::string(query.substr(0, 2)) + word(answered) + word(1) + word(1) + word(0) +
               word(0) + "\xc0\x0c\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\0\xff\xff"s;
    if (type_of(question_of(query)) != type_a) return reply(query, answered);
    if (mode == "loopback") return reply(query, answered, address_record("127.0.0.1"), 1);
    if (mode == "ours") return reply(query, answered, address_record("198.51.100.1"), 1);
    if (mode == "unspecified") return reply(query, answered, address_record("0.0.0.0"), 1);
    if (mode == "private") return reply(query, answered, address_record("10.9.9.9"), 1);
    if (mode == "many") {
        std::string records;
        constexpr unsigned most = 70;  // in 1232 bytes, what resolvers take over UDP
        for (unsigned i = 0; i < most; ++i)
            records += address_record("203.0.113." + std::to_string(100 + i));
        return reply(query, answered, records, most);
    }
    return reply(query, answered, address_record(address), 1);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(53);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) {
        std::perror("127.0.0.1:53");
        return 1;
    }
    std::cout << "ready" << std::endl;
    for (;;) {
        char bytes[4096];
        sockaddr_in from{};
        socklen_t length = sizeof from;
        const auto count =
            ::recvfrom(socket, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length);
        if (count < 0) return 1;
        const std::string_view query(bytes, static_cast<std::size_t>(count));
        if (query.size() < header_bytes || question_of(query).empty()) continue;
        std::string mode;
        std::ifstream(argv[1]) >> mode;
        const auto said = answer(mode, query, argv[2]);
        if (said.empty()) continue;
        if (::sendto(socket, said.data(), said.size(), 0, reinterpret_cast<const sockaddr*>(&from),
                     length) < 0)
            std::perror("sendto");
    }
}
