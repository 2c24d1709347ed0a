// SPDX-License-Identifier: Apache-2.0
// Looks up what the owner of a next hop publishes about TLS to it: TLSA records by DNSSEC, the
// MTA-STS policy over HTTPS. What is found is kept for a while.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <string>

#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/published_tls.hpp"
#include "probes/resolver.hpp"
#include "probes/tls_session.hpp"

namespace postfathom {

class PublishedLookup {
  public:
    // `resolver` outlives it.
    explicit PublishedLookup(Resolver& resolver) : resolver_(resolver) {}

    struct Wanted {
        NextHop next_hop;
        std::uint16_t port = 25;
        std::string trust_anchor;  // empty: no TLSA records
        bool mta_sts = true;
    };
    // What cannot be looked up is as if it were not published, and is looked up
    // again soon.
    boost::asio::awaitable<PublishedTls> find(Wanted wanted, TlsContext tls);

  private:
    struct Known {
        PublishedTls published;
        std::chrono::steady_clock::time_point until;
    };
    boost::asio::awaitable<std::optional<MtaStsPolicy>> mta_sts(std::string domain, TlsContext tls);

    Resolver& resolver_;
    std::map<std::string, Known> known_;
};

}  // namespace postfathom
