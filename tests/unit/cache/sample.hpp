// SPDX-License-Identifier: Apache-2.0
// Records to put into a cache, and a directory to put it in that goes away with the test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "lib/cache/lmdb_cache.hpp"

namespace postfathom::sample {

class Directory {
  public:
    Directory() {
        std::string name = (std::filesystem::temp_directory_path() / "postfathom-XXXXXX").string();
        if (::mkdtemp(name.data()) != nullptr) path_ = name;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

inline WallTime at(std::int64_t seconds) { return WallTime{std::chrono::seconds{seconds}}; }

inline KnownVerdict black_hole(std::int64_t seconds = 1'795'400'000) {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.severity = Severity::critical;
    verdict.direction = Direction::inbound;
    verdict.path_mtu = PathMtu{1400};
    verdict.path_mtu_exact = true;
    verdict.usable_mss = Mss{1360};
    verdict.since = at(seconds - 600);
    verdict.measured_at = at(seconds);
    return verdict;
}

inline KnownVerdict healthy(std::int64_t seconds = 1'795'400'000) {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::healthy;
    verdict.severity = Severity::ok;
    verdict.since = verdict.measured_at = at(seconds);
    return verdict;
}

inline Endpoint endpoint(const std::string& address = "192.0.2.1", std::uint16_t port = 25,
                         const std::string& name = "mail.example.org") {
    return {IpAddress::parse(address).value_or(IpAddress{}), port, service_for_port(port), name};
}

inline NextHopRecord next_hop(const std::string& name, const KnownVerdict& verdict = black_hole()) {
    return {name, verdict, {endpoint(), endpoint("2001:db8::1")}, at(1'795'403'600)};
}

inline RouteRecord route(const std::string& domain, std::int64_t seconds = 1'795'400'000) {
    return {domain, "[mail.example.org]", "[mail.example.org]:25", "smtp", at(seconds)};
}

inline PathRecord path(const std::string& source, const std::string& destination) {
    PathRecord record;
    record.source = IpAddress::parse(source).value_or(IpAddress{});
    record.destination = IpAddress::parse(destination).value_or(IpAddress{});
    record.interface = "eth0";
    record.interface_mtu = PathMtu{8921};
    record.inbound = PathMtu{1400};
    record.inbound_exact = true;
    record.measured_at = at(1'795'400'000);
    return record;
}

}  // namespace postfathom::sample
