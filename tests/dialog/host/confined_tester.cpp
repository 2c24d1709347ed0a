// SPDX-License-Identifier: Apache-2.0
// Confines itself as a daemon does, and then tries things:
//   confined_tester policyd|milter|probed CONFIG calls             prints the allowed system calls
//   confined_tester policyd|milter|probed CONFIG THING [WORD]...   a line for each: "read /x:
//   EACCES"
// Exit status 77 where the kernel cannot confine.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <thread>

#include "lib/base/descriptor.hpp"
#include "lib/config/load.hpp"
#include "lib/confine/confine.hpp"
#include "lib/confine/landlock.hpp"
#include "lib/confine/system_calls.hpp"

namespace {

using namespace postfathom;

bool opens(const std::string& path, int flags) {
    return static_cast<bool>(Descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0600)));
}

sockaddr_in loopback(const std::string& port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(port.c_str(), nullptr, 10)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

bool on_tcp(const std::string& port, int (*act)(int, const sockaddr*, socklen_t)) {
    const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = loopback(port);
    return socket &&
           act(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// The errno of the child's execve(2) is its exit status.
bool runs(const std::string& path) {
    const auto child = ::fork();
    if (child < 0) return false;
    if (child == 0) {
        ::execl(path.c_str(), path.c_str(), static_cast<char*>(nullptr));
        ::_exit(errno);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return errno == 0;
}

bool maps(int protection) {
    void* const map = ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map != MAP_FAILED;
}

bool becomes_executable() {
    void* const map =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map != MAP_FAILED && ::mprotect(map, 4096, PROT_READ | PROT_EXEC) == 0;
}

bool starts_a_thread() {
    bool ran = false;
    std::thread([&ran] { ran = true; }).join();
    return ran;
}

using Attempt = std::function<bool(const std::string& word)>;

const std::map<std::string, Attempt>& attempts_with_a_word() {
    static const std::map<std::string, Attempt> all{
        {"read", [](const auto& path) { return opens(path, O_RDONLY); }},
        {"write", [](const auto& path) { return opens(path, O_WRONLY); }},
        {"create", [](const auto& path) { return opens(path, O_WRONLY | O_CREAT | O_EXCL); }},
        {"remove", [](const auto& path) { return ::unlink(path.c_str()) == 0; }},
        {"rename",
         [](const auto& path) { return ::rename(path.c_str(), (path + ".aside").c_str()) == 0; }},
        {"directory", [](const auto& path) { return ::mkdir(path.c_str(), 0700) == 0; }},
        {"run", runs},
        {"family",
         [](const auto& family) {
             return static_cast<bool>(
                 Descriptor(::socket(std::atoi(family.c_str()), SOCK_DGRAM | SOCK_CLOEXEC, 0)));
         }},
        {"connect", [](const auto& port) { return on_tcp(port, &::connect); }},
        {"bind", [](const auto& port) { return on_tcp(port, &::bind); }},
    };
    return all;
}

const std::map<std::string, std::function<bool()>>& attempts() {
    static const std::map<std::string, std::function<bool()>> all{
        {"ptrace", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }},
        {"mount", [] { return ::mount("none", "/", "tmpfs", 0, nullptr) == 0; }},
        {"bpf", [] { return ::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0) >= 0; }},
        {"keyctl", [] { return ::syscall(SYS_keyctl, 0, -3, 0) >= 0; }},
        {"module", [] { return ::syscall(SYS_init_module, nullptr, 0, "") >= 0; }},
        {"io_uring", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr) >= 0; }},
        {"unshare", [] { return ::unshare(CLONE_NEWUSER) == 0; }},
        {"setuid", [] { return ::syscall(SYS_setuid, 65534) == 0; }},
        {"chroot", [] { return ::chroot("/") == 0; }},
        {"writable-and-executable", [] { return maps(PROT_READ | PROT_WRITE | PROT_EXEC); }},
        {"becomes-executable", becomes_executable},
        {"memory", [] { return maps(PROT_READ | PROT_WRITE); }},
        {"thread", starts_a_thread},
    };
    return all;
}

std::string tried(const std::function<bool()>& attempt) {
    errno = 0;
    if (attempt()) return "ok";
    const char* name = ::strerrorname_np(errno);
    return name == nullptr ? "?" : name;
}

int run(const std::string& daemon, const std::string& file, const std::vector<std::string>& words) {
    const auto settings = load_settings(file);
    if (!settings) {
        fmt::print(stderr, "{}\n", settings.error().message);
        return 2;
    }
    const auto surroundings = surroundings_of_process();
    const auto needs = daemon == "policyd"  ? policyd_needs(*settings, file, surroundings)
                       : daemon == "milter" ? milter_needs(*settings, file)
                                            : probed_needs(*settings, file, surroundings);
    if (words.front() == "calls") {
        for (const auto name : allowed_system_calls(needs)) fmt::print("{}\n", name);
        return 0;
    }
    fmt::print("abi: {}\n", landlock_abi());
    if (const auto confined = confine(needs, ConfinementMode::required); !confined) {
        fmt::print("skipped: {}\n", confined.error().message);
        return 77;
    }
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto& thing = words[i];
        if (const auto found = attempts().find(thing); found != attempts().end()) {
            fmt::print("{}: {}\n", thing, tried(found->second));
        } else if (const auto with = attempts_with_a_word().find(thing);
                   with != attempts_with_a_word().end() && i + 1 < words.size()) {
            const auto& word = words[++i];
            fmt::print("{} {}: {}\n", thing, word, tried([&] { return with->second(word); }));
        } else {
            fmt::print(stderr, "{}: no such thing to try\n", thing);
            return 2;
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 3) return 2;
    std::setvbuf(stdout, nullptr, _IOLBF, 4096);
    return run(words[0], words[1], {words.begin() + 2, words.end()});
}
