// SPDX-License-Identifier: Apache-2.0
#include "probes/published_lookup.hpp"

#include <fmt/format.h>

#include "lib/base/log.hpp"
#include "lib/destination/internal_address.hpp"
#include "lib/net/deadline.hpp"
#include "probes/https_get.hpp"
#include "probes/mta_sts.hpp"

namespace postfathom {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto dns_limit = 6s;
constexpr auto text_limit = 3s;
constexpr auto https_limit = 8s;
// Records change seldom, and a line of a table that is a few minutes old is no worse.
constexpr auto kept_for = 10min;
constexpr std::size_t most_known = 1000;

}  // namespace

asio::awaitable<std::optional<MtaStsPolicy>> PublishedLookup::mta_sts(std::string domain,
                                                                      TlsContext tls) {
    const auto texts = co_await resolver_.texts("_mta-sts." + domain, text_limit);

    if (!mta_sts_id(texts)) co_return std::nullopt;
    HttpsFile file{"mta-sts." + domain, "/.well-known/mta-sts.txt", {}, max_mta_sts_bytes};
    NextHop place;
    place.host = file.host;
    place.mx_lookup = false;
    const auto found = co_await resolver_.resolve(place, std::nullopt, text_limit);
    if (!found) co_return std::nullopt;
    file.addresses = found->hosts.front().addresses;
    // The domain's owner chooses the address, and Postfix never goes there: not into our own
    // network.
    std::erase_if(file.addresses, is_internal);
    if (file.addresses.empty()) {
        log::debug("{}: {} has no public address; its policy is not asked for", domain, file.host);
        co_return std::nullopt;
    }
    const auto body = co_await https_get(std::move(file), std::move(tls), https_limit);
    if (!body) {
        log::debug("{}", body.error().message);
        co_return std::nullopt;
    }
    auto policy = parse_mta_sts_policy(*body);
    if (!policy) {
        log::debug("{}: {}", domain, policy.error().message);
        co_return std::nullopt;
    }
    co_return std::move(*policy);
}

asio::awaitable<PublishedTls> PublishedLookup::find(Wanted wanted, TlsContext tls) {
    const auto key = fmt::format("{} {}", to_string(wanted.next_hop), wanted.port);
    const auto now = Clock::now();
    if (const auto known = known_.find(key); known != known_.end() && now < known->second.until)
        co_return known->second.published;
    const auto dane =
        co_await resolver_.dane(wanted.next_hop, wanted.port, wanted.trust_anchor, dns_limit);
    std::optional<MtaStsPolicy> policy;
    // A policy is for a domain's mail servers as MX records name them (RFC 8461 section 3).
    if (wanted.mta_sts && wanted.next_hop.mx_lookup && !wanted.next_hop.literal &&
        !wanted.next_hop.port)
        policy = co_await mta_sts(wanted.next_hop.host, std::move(tls));
    auto published = published_tls(dane, policy);
    if (known_.size() >= most_known) known_.clear();
    if (dane || policy) known_.insert_or_assign(key, Known{published, now + kept_for});
    co_return published;
}

}  // namespace postfathom
