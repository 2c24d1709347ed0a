// SPDX-License-Identifier: Apache-2.0
// Where mail for a recipient domain goes, from deliveries in the log. The log names the server, not
// what Postfix was told to send to, so only what leaves little doubt counts: deliveries without any
// trouble before them, one after the other to the same host and port, and ever more of them where
// that has changed before. Pure; bounded, the most recent domains are kept.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>

#include "lib/destination/next_hop.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

// "[HOST]:PORT", or "[HOST]" for port 25.
NextHop next_hop_of_relay(const LoggedPeer& relay);

// Whether two names belong together, as far as names tell: the hosts of a mail service come and go.
bool same_owner(std::string_view host, std::string_view other);

class LoggedRoutes {
  public:
    static constexpr std::uint32_t enough = 3;  // messages
    explicit LoggedRoutes(std::size_t limit) : limit_(limit) {}

    // A message went to `next_hop`. True when these have become enough, and each time that their
    // number has doubled since.
    bool add(const std::string& domain, const std::string& next_hop, const std::string& queue_id);
    // A message went another way.
    void doubt(const std::string& domain);
    std::size_t size() const { return order_.size(); }

  private:
    struct Way {
        std::string domain;
        std::string next_hop;
        std::string queue_id;        // of the last message: its recipients count once
        std::uint32_t messages = 0;  // in a row
        std::uint32_t ask_next = 0;  // number of messages
        std::uint32_t changes = 0;
    };
    Way& way_of(const std::string& domain);

    std::size_t limit_;
    std::list<Way> order_;  // most recent first
    std::unordered_map<std::string, std::list<Way>::iterator> by_domain_;
};

}  // namespace postfathom
