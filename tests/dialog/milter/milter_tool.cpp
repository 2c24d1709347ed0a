// SPDX-License-Identifier: Apache-2.0
// For the milter's tests: what the prober would do, without probing.
//   milter_tool fill DIRECTORY NEXTHOP...   stores a fresh black hole for each next hop
//   milter_tool notices SOCKET              prints each notice as a line until it is ended
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/net/listener.hpp"
#include "lib/net/notice.hpp"

using namespace postfathom;

namespace {

NextHopRecord black_hole(std::string next_hop) {
    const auto now = wall_now();
    NextHopRecord record;
    record.next_hop = std::move(next_hop);
    record.verdict = {.id = DiagnosisId::pmtu_black_hole,
                      .severity = Severity::critical,
                      .direction = Direction::inbound,
                      .path_mtu = PathMtu{1400},
                      .path_mtu_exact = true,
                      .usable_mss = Mss{1360},
                      .since = now - std::chrono::hours{2},
                      .measured_at = now};
    return record;
}

int fill(const std::string& directory, const std::vector<std::string>& next_hops) {
    const auto cache = open_cache_for_writing(directory, {});
    if (!cache) {
        fmt::print(stderr, "{}\n", cache.error().message);
        return 1;
    }
    CacheChange change;
    for (const auto& next_hop : next_hops) change.next_hops.push_back(black_hole(next_hop));
    if (const auto stored = (*cache)->store(change); !stored) {
        fmt::print(stderr, "{}\n", stored.error().message);
        return 1;
    }
    return 0;
}

std::string shown(const Notice& notice) {
    if (const auto* learned = std::get_if<RouteLearned>(&notice))
        return fmt::format("route-learned {} {} {} {}", learned->route.domain,
                           learned->route.next_hop, learned->route.verbatim,
                           learned->route.transport);
    if (const auto* wanted = std::get_if<VerdictWanted>(&notice))
        return "verdict-wanted " + wanted->next_hop;
    if (const auto* clients = std::get_if<ClientsSeen>(&notice)) {
        const auto& seen = clients->seen;
        auto text = fmt::format("clients-seen {} tls={} plain={}", client_network(seen.network),
                                seen.counts.tls_sessions, seen.counts.plain_sessions);
        if (seen.tls)
            text += fmt::format(" {} {} {}", seen.tls->version, seen.tls->cipher,
                                seen.tls->bits.value_or(0));
        return text;
    }
    if (const auto* times = std::get_if<HookTimes>(&notice))
        return fmt::format("hook-times {}", to_string(times->hook));
    return "another notice";
}

int print_notices(const std::string& path) {
    const auto bound = bind_unix_datagram({.path = path, .mode = 0666, .owner = "", .group = ""});
    if (!bound) {
        fmt::print(stderr, "{}\n", bound.error().message);
        return 1;
    }
    const Descriptor receiving(*bound);
    std::array<char, max_notice_bytes + 1> buffer{};
    pollfd waiting{.fd = receiving.get(), .events = POLLIN, .revents = 0};
    while (::poll(&waiting, 1, -1) > 0) {
        const auto got = ::recv(receiving.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got < 0) continue;
        const auto notice = decode_notice({buffer.data(), static_cast<std::size_t>(got)});
        fmt::print("{}\n", notice ? shown(*notice) : "unreadable: " + notice.error().message);
        std::fflush(stdout);
    }
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() >= 3 && words[0] == "fill")
        return fill(words[1], {words.begin() + 2, words.end()});
    if (words.size() == 2 && words[0] == "notices") return print_notices(words[1]);
    fmt::print(stderr, "usage: milter_tool fill DIRECTORY NEXTHOP... | notices SOCKET\n");
    return 2;
}
