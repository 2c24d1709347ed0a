// SPDX-License-Identifier: Apache-2.0
// Where Postfix sends the mail of a recipient's domain, as far as main.cf and transport(5) tell.
// Pure, but for the table, which the caller looks into.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/postfix/configuration.hpp"

namespace postfathom {

// What a table of transport_maps is asked for a domain, in this order: an address in it that is
// nobody's, for tables of patterns or queries that want one, and what transport(5) has. Entries of
// single recipients are not found so: they lead away from what is, for those recipients.
std::vector<std::string> transport_keys(const PostfixConfiguration& postfix,
                                        const std::string& domain);

struct DomainRoute {
    enum class By { domain, transport_maps, relayhost };
    By by = By::domain;
    std::string next_hop;  // as written; empty with By::domain
    bool operator==(const DomainRoute&) const = default;
};

// Looks a key up in one table of transport_maps; an error where that does not answer.
using TransportLookup = std::function<Result<std::optional<std::string>>(const std::string& table,
                                                                         const std::string& key)>;

// Nothing where it cannot be told: another transport than smtp(8), a sender's own relay, a table
// that does not answer.
std::optional<DomainRoute> route_of_domain(const PostfixConfiguration& postfix,
                                           const std::string& domain,
                                           const TransportLookup& look_up);

}  // namespace postfathom
