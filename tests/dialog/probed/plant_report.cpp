// SPDX-License-Identifier: Apache-2.0
// Stores a next hop as the prober would, with a report of any text on standard input:
//   plant-report DIRECTORY NEXTHOP ADDRESS SERVERNAME INTERFACE < REPORT
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "lib/cache/lmdb_cache.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

KnownVerdict verdict_at(WallTime now) {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.severity = Severity::critical;
    verdict.direction = Direction::inbound;
    verdict.path_mtu = PathMtu{1400};
    verdict.path_mtu_exact = true;
    verdict.usable_mss = Mss{1360};
    verdict.since = verdict.measured_at = now;
    return verdict;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    const auto address = IpAddress::parse(argv[3]);
    const auto source = IpAddress::parse("127.0.0.1");
    auto cache = open_cache_for_writing(argv[1], {});
    if (!address || !source || !cache) {
        std::fprintf(stderr, "%s\n", cache ? "no address" : cache.error().message.c_str());
        return 1;
    }
    const auto now = wall_now();
    const Endpoint server{*address, 25, Service::smtp, argv[4]};
    CacheChange change;
    change.next_hops.push_back({argv[2], verdict_at(now), {server}, {}});
    EndpointRecord endpoint{server, verdict_at(now), {argv[2]}};
    endpoint.history = {{now - 3h, now - 2h, *source, DiagnosisId::healthy, false},
                        {now - 1h, now, *source, DiagnosisId::pmtu_black_hole, true}};
    change.endpoints.push_back(endpoint);
    PathRecord path;
    path.source = *source;
    path.destination = *address;
    path.interface = argv[5];
    path.inbound = PathMtu{1400};
    path.inbound_exact = true;
    path.outbound = PathMtu{1480};
    path.measured_at = now;
    path.history = {{now - 3h, now - 2h, PathMtu{1500}, true, PathMtu{1500}, true},
                    {now - 1h, now, PathMtu{1400}, true, PathMtu{1480}, false}};
    change.paths.push_back(path);
    change.reports.push_back({argv[2], std::string(std::istreambuf_iterator<char>(std::cin), {})});
    if (const auto stored = (*cache)->store(change); !stored) {
        std::fprintf(stderr, "%s\n", stored.error().message.c_str());
        return 1;
    }
}
