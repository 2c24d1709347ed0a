// SPDX-License-Identifier: Apache-2.0
// From a next hop to the addresses of its servers, as Postfix finds them: MX hosts in order of
// preference, else the name itself (RFC 5321 section 5.1), addresses from DNS and the hosts file.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {

struct ResolvedHost {
    std::string name;                  // MX host, or the name itself; empty for a literal
    std::vector<IpAddress> addresses;  // never empty
};

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

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postfathom
