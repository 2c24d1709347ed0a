// SPDX-License-Identifier: Apache-2.0
// From a next hop to the addresses of its servers, as Postfix finds them: MX hosts in order of
// preference, else the name itself (RFC 5321 section 5.1), addresses from DNS and the hosts file.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/published_tls.hpp"

namespace postfathom {

struct ResolvedHost {
    std::string name;                  // MX host, or the name itself; empty for a literal
    std::vector<IpAddress> addresses;  // never empty
    std::uint16_t preference = 0;      // of its MX record; lower is better
};

// What smtp(8) goes on to, of what a name led to: where a server is this host itself, it leaves out
// all that are not better (RFC 5321 section 5.1; src/smtp/smtp_addr.c), since the mail would loop.
// A name whose owner says that it leads to us, or to 127.0.0.1, must not make us connect there.
std::vector<ResolvedHost> without_own(std::vector<ResolvedHost> hosts,
                                      const std::function<bool(const IpAddress&)>& is_own);

struct Resolution {
    std::vector<ResolvedHost> hosts;  // best preference first; never empty
    std::optional<std::chrono::seconds>
        ttl;  // smallest of what was used; none for literals and hosts file
};

class Resolver {
  public:
    Resolver();
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    // ErrorCode::not_found: the name does not exist, has no address, or says "null MX" (RFC 7505);
    // timed_out or io: could not be looked up.
    boost::asio::awaitable<Result<Resolution>> resolve(NextHop next_hop,
                                                       std::optional<IpFamily> family,
                                                       std::chrono::milliseconds timeout);

    // TLSA records for the servers of `next_hop` at `port`, validated against the anchors in
    // `trust_anchor` (a file of DS or DNSKEY records). Nothing where any lookup failed, a signature
    // is bogus, there is no such file, or it took longer.
    boost::asio::awaitable<std::optional<DaneServers>> dane(NextHop next_hop, std::uint16_t port,
                                                            std::string trust_anchor,
                                                            std::chrono::milliseconds timeout);

    // The texts of TXT records; empty where there are none, or they could not be looked up.
    boost::asio::awaitable<std::vector<std::string>> texts(std::string name,
                                                           std::chrono::milliseconds timeout);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postfathom
