// SPDX-License-Identifier: Apache-2.0
#include "lib/net/listener.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

int connect_to(const std::string& path, int type) {
    const Descriptor asker(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return ::connect(asker.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
               ? 0
               : errno;
}

mode_t mode_of(const std::string& path) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("socket modes are octal digits up to 0777") {
    CHECK(parse_socket_mode("0660") == mode_t{0660});
    CHECK(parse_socket_mode("666") == mode_t{0666});
    CHECK(parse_socket_mode("0") == mode_t{0});
    CHECK(parse_socket_mode("0777") == mode_t{0777});
    for (const auto* bad :
         {"", "0o660", "660 ", "-660", "0888", "1777", "00660", "rw-rw----", "0x1b0"}) {
        CAPTURE(bad);
        const auto mode = parse_socket_mode(bad);
        REQUIRE_FALSE(mode);
        CHECK(mode.error().code == ErrorCode::invalid_input);
        CHECK(mode.error().message.find("0660") != std::string::npos);
    }
}

TEST_CASE("a socket gets its mode whatever the umask, and does not block") {
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    for (const mode_t mask : {mode_t{0}, mode_t{0077}, mode_t{0777}}) {
        const auto before = ::umask(mask);
        const auto listening = listen_unix({path, 0666, "", ""});
        CHECK(::umask(before) == mask);
        REQUIRE_MESSAGE(listening, (listening ? "" : listening.error().message));
        const Descriptor owner(*listening);
        CHECK(mode_of(path) == 0666);
        CHECK((::fcntl(*listening, F_GETFL) & O_NONBLOCK) != 0);
        CHECK((::fcntl(*listening, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(connect_to(path, SOCK_STREAM) == 0);
    }
}

TEST_CASE("a socket that an ended server left behind is replaced, a live one is respected") {
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    const auto check = [&path](Result<int> (*open)(const SocketPlace&), int type) {
        const SocketPlace place{path, 0660, "", ""};
        Descriptor first(open(place).value_or(-1));
        REQUIRE(first);
        CHECK(connect_to(path, type) == 0);
        for (auto* other : {&listen_unix, &bind_unix_datagram}) {
            const auto second = other(place);
            REQUIRE_FALSE(second);
            CHECK(second.error().code == ErrorCode::refused);
            CHECK(second.error().message.find(path) != std::string::npos);
            CHECK(second.error().message.find("stop it") != std::string::npos);
        }
        CHECK(connect_to(path, type) == 0);
        first.reset();
        CHECK(connect_to(path, type) == ECONNREFUSED);
        first.reset(open(place).value_or(-1));
        CHECK(first);
        CHECK(connect_to(path, type) == 0);
    };
    SUBCASE("stream") { check(&listen_unix, SOCK_STREAM); }
    SUBCASE("datagram") { check(&bind_unix_datagram, SOCK_DGRAM); }
}

TEST_CASE("of servers that start at the same moment one gets the socket, and keeps it") {
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    const SocketPlace place{path, 0660, "", ""};
    REQUIRE(Descriptor(listen_unix(place).value_or(-1)));  // stale from here on
    for (int round = 0; round < 100; ++round) {
        CAPTURE(round);
        std::barrier<> begin(8);
        std::array<Descriptor, 8> listening;
        std::vector<std::thread> servers;
        for (auto& ours : listening)
            servers.emplace_back([&] {
                begin.arrive_and_wait();
                ours.reset(listen_unix(place).value_or(-1));
            });
        for (auto& server : servers) server.join();
        REQUIRE(std::count_if(listening.begin(), listening.end(),
                              [](const Descriptor& ours) { return static_cast<bool>(ours); }) == 1);
        CHECK(connect_to(path, SOCK_STREAM) == 0);
    }
}

TEST_CASE("the message about a live server names it") {
    const sample::Directory directory;
    const SocketPlace place{(directory.path() / "s").string(), 0660, "", ""};
    const Descriptor first(listen_unix(place).value_or(-1));
    const auto second = listen_unix(place);
    REQUIRE_FALSE(second);
    CHECK(second.error().message.find("unit_net, process " + std::to_string(::getpid())) !=
          std::string::npos);
}

TEST_CASE("whatever is not a socket stays") {
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    std::ofstream(path) << "precious";
    SUBCASE("file") {}
    SUBCASE("link to a socket") {
        const auto real = (directory.path() / "real").string();
        const Descriptor owner(listen_unix({real, 0660, "", ""}).value_or(-1));
        std::filesystem::remove(path);
        std::filesystem::create_symlink(real, path);
    }
    SUBCASE("directory") {
        std::filesystem::remove(path);
        std::filesystem::create_directory(path);
    }
    const auto listening = listen_unix({path, 0660, "", ""});
    REQUIRE_FALSE(listening);
    CHECK(listening.error().code == ErrorCode::refused);
    CHECK(std::filesystem::exists(std::filesystem::symlink_status(path)));
}

TEST_CASE("a path that cannot be is an error that says what to do") {
    const sample::Directory directory;
    const auto base = directory.path().string();
    struct Case {
        SocketPlace place;
        ErrorCode code;
        const char* says;
    };
    const Case cases[] = {
        {{base + "/none/s", 0660, "", ""}, ErrorCode::not_found, "install -d"},
        {{base + "/" + std::string(200, 'x'), 0660, "", ""}, ErrorCode::invalid_input, "107"},
        {{"", 0660, "", ""}, ErrorCode::invalid_input, "expected"},
    };
    for (const auto& each : cases) {
        const auto listening = listen_unix(each.place);
        REQUIRE_FALSE(listening);
        CHECK(listening.error().code == each.code);
        CHECK(listening.error().message.find(each.says) != std::string::npos);
        CHECK_FALSE(std::filesystem::exists(base + "/s"));
    }
    // The longest that fits.
    const auto longest = base + "/" + std::string(107 - base.size() - 1, 'x');
    const Descriptor owner(listen_unix({longest, 0660, "", ""}).value_or(-1));
    CHECK(owner);
}

TEST_CASE("owner and group are given by name") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: needs root to give files away");
        return;
    }
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    const Descriptor owner(listen_unix({path, 0620, "daemon", "mail"}).value_or(-1));
    REQUIRE(owner);
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK(status.st_uid == 1);
    CHECK(status.st_gid == 8);
    CHECK(mode_of(path) == 0620);
}

TEST_CASE("what a socket cannot be given to costs access, and gives none to others") {
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    struct stat status{};
    const auto open_as = [&](const SocketPlace& place) {
        const Descriptor listening(listen_unix(place).value_or(-1));
        REQUIRE(listening);
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_mode & 07777;
    };
    CHECK(open_as({path, 0666, "no-such-user-here", ""}) == 0666);
    CHECK(status.st_uid == ::geteuid());
    CHECK(open_as({path, 0666, "", "no-such-group-here"}) == 0606);
    CHECK(status.st_gid == ::getegid());
    CHECK(open_as({path, 0660, "", "no-such-group-here", true}) == 0660);
}

TEST_CASE("who may not give files away says so and goes on") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: needs root, to become somebody else");
        return;
    }
    const sample::Directory directory;
    const auto path = (directory.path() / "s").string();
    REQUIRE(::chmod(directory.path().c_str(), 02777) == 0);
    // 0: as expected. The directory's group is "mail" (8), which a socket in it gets.
    REQUIRE(::chown(directory.path().c_str(), 0, 8) == 0);
    const auto child = ::fork();
    if (child == 0) {
        if (::setgroups(0, nullptr) != 0 || ::setgid(1) != 0 || ::setuid(1) != 0) ::_exit(1);
        const auto mode_as = [&](const SocketPlace& place) {
            const Descriptor listening(listen_unix(place).value_or(-1));
            struct stat status{};
            if (!listening || ::stat(path.c_str(), &status) != 0 || status.st_uid != 1) ::_exit(2);
            return status.st_mode & 07777;
        };
        if (mode_as({path, 0660, "root", ""}) != 0660) ::_exit(3);
        if (mode_as({path, 0660, "", "root"}) != 0600) ::_exit(4);
        // It has that group already.
        if (mode_as({path, 0660, "", "mail"}) != 0660) ::_exit(5);
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the rights of the configuration become those of the place") {
    const auto place = socket_place("/s", {"0640", "ada", "staff"}).value();
    CHECK(place.path == "/s");
    CHECK(place.mode == 0640);
    CHECK(place.owner == "ada");
    CHECK(place.group == "staff");
    CHECK_FALSE(place.own_group_will_do);
    CHECK(socket_place("/s", {"rw", "", ""}).error().message.find("/s: ") == 0);
    CHECK(socket_place_for_postfix("/s", {"0660", "", "staff"}).value().group == "staff");
    CHECK_FALSE(socket_place_for_postfix("/s", {"0660", "", "staff"}).value().own_group_will_do);
}

}  // namespace postfathom
