// SPDX-License-Identifier: Apache-2.0
// Facts of this host, as readers found them. What could not be read is absent, and `unread` says
// why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/doctor/firewall.hpp"
#include "lib/postfix/own_hooks.hpp"

namespace postfathom {

struct Interface {
    std::string name;
    std::string kind;    // as the kernel names it: "wireguard", "bridge"; empty for a plain device
    std::string bridge;  // whose port it is
    std::uint32_t mtu = 0;
    bool up = false;
    bool loopback = false;
    std::optional<IpFamily> outer;  // the family of a tunnel's packets, where its kind tells
    bool operator==(const Interface&) const = default;
};

struct KernelRoute {
    std::string destination;  // "default", "203.0.113.5", "192.0.2.0/24"
    std::string interface;
    std::string table;      // empty: main
    std::uint32_t mtu = 0;  // 0: the interface's
    bool mtu_locked = false;
    bool learned = false;  // an exception that the kernel made of an ICMP error
    bool operator==(const KernelRoute&) const = default;
};

struct LinkFacts {
    std::vector<Interface> interfaces;
    std::vector<KernelRoute> routes;
};

struct KernelFacts {
    std::optional<std::int64_t> tcp_mtu_probing;
    std::optional<std::int64_t> no_pmtu_disc;
    std::optional<std::int64_t> forwarding;
    std::optional<std::pair<std::int64_t, std::int64_t>> ping_groups;
};

// A user as a process of it runs.
struct Account {
    std::string name;
    std::uint32_t user = 0;
    std::vector<std::uint32_t> groups;
};

// A file or a directory, with who may use it.
struct FileMode {
    std::string path;
    std::uint32_t user = 0;
    std::uint32_t group = 0;
    std::uint32_t mode = 0;  // the last nine bits
};

enum class SocketState {
    absent,
    no_socket,  // something else has the name
    dead,       // nobody listens
    denied,     // we may not look, or not connect
    listens,
};

// A socket of ours, by the setting that names it.
struct SocketFacts {
    std::string setting;  // "policy.socket"
    std::string daemon;   // "postfathom-policyd"
    std::string path;
    bool for_postfix = false;
    SocketState state = SocketState::absent;
    std::vector<FileMode> way;  // from the root directory to the socket, as far as it is there
};

struct LogFacts {
    std::string path;  // empty: the journal
    bool exists = false;
    std::vector<FileMode> way;
};

struct DaemonFacts {
    std::string version;
    std::optional<Account> account;  // of the process
    std::uint64_t log_lines = 0;
};

struct Unread {
    std::string what;  // "the firewall's rules"
    std::string why;
};

struct DoctorFacts {
    std::optional<LinkFacts> links;
    std::optional<KernelFacts> kernel;
    std::optional<Firewall> firewall;
    std::optional<PostfixConfiguration> postfix;
    std::optional<Account> postfix_account;  // mail_owner
    std::optional<std::vector<SocketFacts>> sockets;
    std::optional<LogFacts> log;
    std::optional<DaemonFacts> prober;
    std::vector<Unread> unread;
    OwnPlaces own;
};

}  // namespace postfathom
