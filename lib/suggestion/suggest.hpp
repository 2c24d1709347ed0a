// SPDX-License-Identifier: Apache-2.0
// suggest(diagnosis, context) -> suggestions: what a person can do about a verdict, best first. A
// function of values: no clock, no socket, no logger. Every command runs as printed; whatever would
// need quoting makes its suggestion vanish instead.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/destination/endpoint.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/published_tls.hpp"
#include "lib/diagnosis/suggestion.hpp"
#include "lib/suggestion/host_facts.hpp"

namespace postfathom {

// Another way to the same server that was measured and has not the fault.
struct CleanWay {
    IpAddress source;
    IpAddress destination;
    std::optional<PathMtu> inbound;
    std::optional<PathMtu> outbound;
    bool operator==(const CleanWay&) const = default;
};

struct SuggestionContext {
    NextHop next_hop;
    std::string next_hop_verbatim;  // as Postfix spells it, the key of smtp_tls_policy_maps
    Endpoint endpoint;
    HostFacts host;
    TlsFloor floor{};          // what Postfix has
    PublishedTls published{};  // what its owner lets senders hold mail to; nothing goes below it
    Evidence evidence{};       // behind the diagnosis, for its numbers
    std::vector<CleanWay> clean_ways{};  // from other sources, or over the other family
};

// Lets Postfix at level "may" go on in clear text.
bool handshake_fails(const Diagnosis& diagnosis);

// The line for smtp_tls_policy_maps that keeps mail from going in clear text after TLS failed.
// Nothing where the floor leaves no room.
std::optional<Suggestion> hold_to_tls(const SuggestionContext& context);

// Best first. Empty when there is nothing to do about it. Never for a direction that was not shown
// to be ill, nor where loss does not depend on size or nothing is certain.
std::vector<Suggestion> suggest(const Diagnosis& diagnosis, const SuggestionContext& context);

}  // namespace postfathom
