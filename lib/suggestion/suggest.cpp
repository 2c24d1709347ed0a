// SPDX-License-Identifier: Apache-2.0
// Which suggestions a verdict leads to, and their order: what removes the cause first, then what
// concerns this destination alone, then other ways, then mitigations, then what others have to do.
// What rests on something that we do not know (a router of yours, a tunnel that only looks like
// one) comes after what is known.
#include "lib/suggestion/suggest.hpp"

#include <utility>

#include "lib/suggestion/families.hpp"

namespace postfathom {
namespace {

// MTUs that make sense to set: an IPv4 host takes 576 (RFC 1122 section 3.3.2), an IPv6 link
// carries 1280 (RFC 8200 section 5). Less is a claim that needs a person.
bool sensible(PathMtu mtu, IpFamily family) {
    constexpr std::uint32_t largest_packet = 65535;
    const std::uint32_t smallest = family == IpFamily::v4 ? 576 : 1280;
    return mtu.bytes >= smallest && mtu.bytes <= largest_packet;
}

class List {
  public:
    void add(MaybeSuggestion suggestion) {
        if (suggestion) list_.push_back(std::move(*suggestion));
    }
    std::vector<Suggestion> take() { return std::move(list_); }

  private:
    std::vector<Suggestion> list_;
};

void mend_path(List& list, const Plan& plan) {
    if (behind_tunnel(plan.host())) list.add(tunnel_mtu(plan));
    list.add(container_mtu(plan));
    list.add(route_mtu(plan));
    list.add(route_advmss(plan));
    list.add(host_clamp(plan));
    list.add(bind_address(plan));
    list.add(address_family(plan));
    list.add(tcp_mtu_probing(plan));
    if (perhaps_tunnel(plan)) list.add(tunnel_mtu(plan));
    list.add(mss_clamp_nft(plan));
    list.add(mss_clamp_iptables(plan));
    list.add(let_icmp_through(plan));
    list.add(session_cache(plan));
}

bool path_can_be_mended(const Plan& plan) {
    const auto& host = plan.host();
    return plan.diagnosis.id == DiagnosisId::pmtu_black_hole && plan.diagnosis.path_mtu &&
           sensible(plan.mtu, plan.family()) && !host.destination.is_unspecified() && !host.own;
}

}  // namespace

bool handshake_fails(const Diagnosis& diagnosis) {
    switch (diagnosis.id) {
        case DiagnosisId::size_specific_loss:
        case DiagnosisId::large_hello_intolerance:
            return diagnosis.severity == Severity::critical;
        case DiagnosisId::pmtu_black_hole:
            // Towards the server a ClientHello passes and a message does not.
            return diagnosis.direction != Direction::outbound;
        case DiagnosisId::peer_stall:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::starttls_stripped:
        case DiagnosisId::tls_alert:
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
        case DiagnosisId::tls_garbage:
            return true;
        default:
            return false;
    }
}

std::optional<Suggestion> hold_to_tls(const SuggestionContext& context) {
    const Diagnosis unknown;
    return tls_policy(make_plan(unknown, context));
}

std::vector<Suggestion> suggest(const Diagnosis& diagnosis, const SuggestionContext& context) {
    const auto plan = make_plan(diagnosis, context);
    List list;
    if (path_can_be_mended(plan)) mend_path(list, plan);
    if (groups_of_commands_fail(diagnosis.id, diagnosis.sizes)) list.add(no_pipelining(plan));
    list.add(patient_transport(plan));
    list.add(own_server(plan));
    if (handshake_fails(diagnosis)) list.add(tls_policy(plan));
    list.add(letter(plan));
    return list.take();
}

}  // namespace postfathom
