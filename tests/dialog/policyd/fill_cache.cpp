// SPDX-License-Identifier: Apache-2.0
// Stores verdicts as the prober would, for tests of its readers:
//   fill-cache DIRECTORY NAME[ADDRESS]:PORT=DIAGNOSIS ... NEXTHOP=DIAGNOSIS[,NAME[ADDRESS]:PORT]
//   ...
// A next hop with a server has an endpoint with the same verdict. pmtu-black-hole may be followed
// by its size: pmtu-black-hole/1401.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "lib/cache/lmdb_cache.hpp"
#include "lib/mail_log/lines.hpp"

using namespace postfathom;

namespace {

KnownVerdict verdict_of(const std::string& words) {
    const auto slash = std::min(words.find('/'), words.size());
    const auto name = words.substr(0, slash);
    const auto size = slash < words.size() ? std::atoi(words.c_str() + slash + 1) : 1400;
    KnownVerdict verdict;
    verdict.since = verdict.measured_at = wall_now();
    const auto id = parse_diagnosis_id(name);
    if (!id) {
        std::fprintf(stderr, "%s: no such diagnosis\n", name.c_str());
        std::exit(2);
    }
    verdict.id = *id;
    verdict.severity = *id == DiagnosisId::healthy ? Severity::ok : Severity::critical;
    if (*id == DiagnosisId::pmtu_black_hole) {
        verdict.direction = Direction::inbound;
        verdict.path_mtu = PathMtu{static_cast<std::uint32_t>(size)};
        verdict.path_mtu_exact = true;
        verdict.usable_mss = mss_for(*verdict.path_mtu, IpFamily::v4);
    }
    if (*id == DiagnosisId::size_specific_loss) verdict.sizes = "segments of 513 bytes";
    return verdict;
}

Endpoint endpoint_of(const LoggedPeer& peer) {
    return {peer.address, peer.port.value_or(25), Service::smtp, peer.host};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    auto cache = open_cache_for_writing(argv[1], {});
    if (!cache) {
        std::fprintf(stderr, "%s\n", cache.error().message.c_str());
        return 1;
    }
    CacheChange change;
    for (int i = 2; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto equals = argument.find('=');
        const auto key = argument.substr(0, equals);
        const auto value = argument.substr(equals + 1);
        const auto comma = std::min(value.find(','), value.size());
        const auto verdict = verdict_of(value.substr(0, comma));
        const auto server = find_peer(value.substr(comma));
        if (const auto peer = find_peer(key)) {
            change.endpoints.push_back({endpoint_of(*peer), verdict, {}});
        } else if (server) {
            change.endpoints.push_back({endpoint_of(*server), verdict, {key}});
            change.next_hops.push_back({key, verdict, {endpoint_of(*server)}, {}});
        } else {
            change.next_hops.push_back({key, verdict, {}, {}});
        }
    }
    for (auto& next_hop : change.next_hops) next_hop.tls_floor = TlsLevel::may;
    if (const auto stored = (*cache)->store(change); !stored) {
        std::fprintf(stderr, "%s\n", stored.error().message.c_str());
        return 1;
    }
}
