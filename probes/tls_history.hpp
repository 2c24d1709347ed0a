// SPDX-License-Identifier: Apache-2.0
// When Postfix last completed TLS with a next hop of which nothing is stored yet; bounded, the most
// recent are kept. Pure.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lib/base/units.hpp"

namespace postfathom {

class TlsHistory {
  public:
    explicit TlsHistory(std::size_t limit) : limit_(limit) {}
    void note(const std::string& host, WallTime at);
    // By the host of a canonical next hop that leaves the server to the DNS: what is in brackets or
    // has a port may be elsewhere.
    std::optional<WallTime> last(const std::string& next_hop) const;
    std::size_t size() const { return order_.size(); }

  private:
    struct Seen {
        std::string host;
        WallTime at;
    };
    std::size_t limit_;
    std::list<Seen> order_;  // most recent first
    std::unordered_map<std::string, std::list<Seen>::iterator> by_host_;
};

}  // namespace postfathom
