// SPDX-License-Identifier: Apache-2.0
#include "lib/doctor/firewall.hpp"

#include <algorithm>
#include <optional>

namespace postfathom {

namespace {

enum class Answer { no, maybe, yes };

constexpr int max_jumps = 16;  // nftables' own limit (NFT_JUMP_STACK_SIZE)

Answer inverted(Answer answer) {
    if (answer == Answer::maybe) return answer;
    return answer == Answer::yes ? Answer::no : Answer::yes;
}

Answer one_of(const std::vector<std::string>& values, const char* ours) {
    return std::find(values.begin(), values.end(), ours) != values.end() ? Answer::yes : Answer::no;
}

Answer holds(const RuleCondition& condition, IpFamily family) {
    const bool v4 = family == IpFamily::v4;
    const bool other_icmp = condition.icmp != family;
    Answer answer = Answer::maybe;
    switch (condition.subject) {
        case RuleSubject::family:
            answer = one_of(condition.values, v4 ? "4" : "6");
            break;
        case RuleSubject::protocol:
            answer = one_of(condition.values, v4 ? "icmp" : "icmpv6");
            break;
        case RuleSubject::icmp_type:
            // Asking the other family's type matches nothing of ours, negated or not.
            if (other_icmp) return Answer::no;
            answer = one_of(condition.values, v4 ? "3" : "2");
            break;
        case RuleSubject::icmp_code:
            if (other_icmp) return Answer::no;
            answer = one_of(condition.values, v4 ? "4" : "0");
            break;
        case RuleSubject::state:
            answer = one_of(condition.values, "related");
            break;
        case RuleSubject::interface:
            // It does not come in by the loopback interface; by which other one is not known.
            if (one_of(condition.values, "lo") == Answer::yes && condition.values.size() == 1)
                answer = Answer::no;
            break;
        case RuleSubject::other:
            break;
    }
    return condition.negated ? inverted(answer) : answer;
}

Answer applies(const FirewallRule& rule, IpFamily family) {
    auto all = Answer::yes;
    for (const auto& condition : rule.conditions) all = std::min(all, holds(condition, family));
    return all;
}

bool is_about_icmp(const FirewallRule& rule) {
    return std::any_of(rule.conditions.begin(), rule.conditions.end(),
                       [](const RuleCondition& condition) {
                           return condition.subject == RuleSubject::protocol ||
                                  condition.subject == RuleSubject::icmp_type;
                       });
}

// What a walk through a chain can end with.
struct Ends {
    bool accepted = false;
    bool dropped = false;
    bool fell_through = false;
    std::string dropped_at;
};

class Walk {
  public:
    Walk(const Firewall& firewall, IpFamily family)
        : firewall_(firewall), family_(family), seen_(firewall.chains.size()) {}

    Ends base(const FirewallChain& chain) {
        auto ends = through(chain, 0);
        if (!ends.fell_through) return ends;
        if (!chain.policy_drop) {
            ends.accepted = true;
        } else {
            ends.dropped = true;
            if (ends.dropped_at.empty())
                ends.dropped_at = "policy of " + chain.table + ' ' + chain.name;
        }
        return ends;
    }

  private:
    Ends through(const FirewallChain& chain, int jumps) {
        Ends ends;
        for (const auto& rule : chain.rules) {
            const auto answer = applies(rule, family_);
            if (answer == Answer::no || rule.verdict == RuleVerdict::none) continue;
            if (answer == Answer::maybe && !is_about_icmp(rule)) {
                // A list of addresses to keep out says nothing about routers in general.
                Ends here;
                act(rule, chain, jumps, here);
                ends.accepted |= here.accepted;
                ends.fell_through |= here.fell_through;
                continue;
            }
            const bool goes_on = act(rule, chain, jumps, ends);
            if (answer == Answer::yes && !goes_on) return ends;
        }
        ends.fell_through = true;
        return ends;
    }

    // False when a packet that meets the rule never comes to the next one.
    bool act(const FirewallRule& rule, const FirewallChain& chain, int jumps, Ends& ends) {
        switch (rule.verdict) {
            case RuleVerdict::accept:
                ends.accepted = true;
                return false;
            case RuleVerdict::drop:
                ends.dropped = true;
                if (ends.dropped_at.empty()) ends.dropped_at = rule.place;
                return false;
            case RuleVerdict::give_back:
                ends.fell_through = true;
                return false;
            case RuleVerdict::jump:
            case RuleVerdict::go_to:
                return jump(rule, chain, jumps, ends);
            case RuleVerdict::none:
                break;
        }
        return true;
    }

    bool jump(const FirewallRule& rule, const FirewallChain& chain, int jumps, Ends& ends) {
        const auto target = std::find_if(
            firewall_.chains.begin(), firewall_.chains.end(), [&](const FirewallChain& other) {
                return other.table == chain.table && other.name == rule.target;
            });
        if (target == firewall_.chains.end() || jumps >= max_jumps) return true;
        // Each chain is walked once, however many rules jump to it; a loop, which no kernel takes,
        // ends.
        auto& seen = seen_[static_cast<std::size_t>(target - firewall_.chains.begin())];
        if (!seen) {
            seen = Ends{false, false, true, ""};
            seen = through(*target, jumps + 1);
        }
        const auto& inner = *seen;
        ends.accepted |= inner.accepted;
        ends.dropped |= inner.dropped;
        if (ends.dropped_at.empty()) ends.dropped_at = inner.dropped_at;
        if (inner.fell_through && rule.verdict == RuleVerdict::go_to) ends.fell_through = true;
        return inner.fell_through && rule.verdict == RuleVerdict::jump;
    }

    const Firewall& firewall_;
    IpFamily family_;
    std::vector<std::optional<Ends>> seen_;  // by the place of the chain in the firewall
};

}  // namespace

FateOfErrors fate_of_too_big(const Firewall& firewall, IpFamily family) {
    // The hooks that a packet to this host passes. A drop in one chain is final, an acceptance only
    // ends that chain (nft(8), "base chains").
    FateOfErrors fate;
    for (const auto& chain : firewall.chains) {
        if (chain.hook != "input" && chain.hook != "prerouting") continue;
        if (chain.family && *chain.family != family) continue;
        const auto ends = Walk(firewall, family).base(chain);
        if (!ends.dropped) continue;
        if (!ends.accepted) return {ErrorFate::dropped, ends.dropped_at};
        if (fate.fate == ErrorFate::passes) fate = {ErrorFate::unclear, ends.dropped_at};
    }
    return fate;
}

}  // namespace postfathom
