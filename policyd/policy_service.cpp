// SPDX-License-Identifier: Apache-2.0
#include "policyd/policy_service.hpp"

#include "lib/base/host_name.hpp"
#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "policyd/tables.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;

constexpr auto ask_again_after = 60s;
constexpr auto log_again_after = 1h;
constexpr std::size_t max_remembered_next_hops = 20'000;
// Messages that are in their RCPT phase at one time, with room.
constexpr std::size_t max_instances = 4096;
constexpr std::size_t max_instance_bytes = 128;
constexpr std::size_t max_unknown_contexts = 16;
constexpr auto hold_client_for = 10s;
constexpr auto say_again_after = 60s;
constexpr std::size_t max_clients = 4096;
constexpr std::size_t max_address = 45;  // INET6_ADDRSTRLEN - 1

class PolicySession : public Session {
  public:
    explicit PolicySession(PolicyService& service) : service_(service) {}

    Next feed(std::string_view& bytes, std::string& out) override {
        while (!bytes.empty()) {
            const auto status = parser_.feed(bytes);
            if (status == PolicyRequestParser::Status::complete) {
                service_.answer(parser_.request(), out);
            } else if (status == PolicyRequestParser::Status::broken) {
                log::warning("policy socket: {}; closing that connection", parser_.error());
                return Next::close;
            }
        }
        return Next::read;
    }
    Next resume(std::string&) override { return Next::read; }
    bool mid_request() const override { return parser_.mid_request(); }

  private:
    PolicyService& service_;
    PolicyRequestParser parser_;
};

}  // namespace

PolicyService::PolicyService(const Settings& settings, const CacheReader& cache,
                             NoticeSender& notices)
    : settings_(settings),
      cache_(cache),
      notices_(notices),
      wanted_(ask_again_after, max_remembered_next_hops),
      logged_(log_again_after, max_remembered_next_hops),
      contexts_(log_again_after, max_unknown_contexts),
      host_name_(host_name()),
      client_said_(say_again_after, max_instances) {}

std::string PolicyService::host_token() const {
    return settings_.milter.host_token.empty() ? host_name_ : settings_.milter.host_token;
}

void PolicyService::answer(const PolicyRequest& request, std::string& out) {
    const auto finding =
        find_for_recipient(request, cache_, settings_.routes, wall_now(), settings_.cache.age);
    if (finding.wanted && wanted_.allow(finding.next_hop, std::chrono::steady_clock::now()) &&
        !notices_.send(VerdictWanted{finding.next_hop}))
        wanted_.retract(finding.next_hop);  // the prober is down: the next request may tell it
    const auto mode = mode_for(request);
    const auto& client = client_finding(request, mode);
    out += "action=";
    if (finding.verdict || !client.empty()) {
        out += action(request, finding, mode, client);
    } else {
        out += "DUNNO";
    }
    out += "\n\n";
}

std::string PolicyService::action(const PolicyRequest& request, const PolicyFinding& finding,
                                  PolicyMode mode, const std::string& client) {
    if (mode == PolicyMode::observe && finding.verdict &&
        logged_.allow(finding.next_hop, std::chrono::steady_clock::now()))
        log::info("{}: {}; mail for it is accepted as it comes (the mode is observe)",
                  printable(finding.next_hop), brief(*finding.verdict));
    const auto token = host_token();
    PolicyTerms terms;
    terms.mode = mode;
    terms.host_token = token;
    terms.client = client;
    terms.first_of_message =
        mode == PolicyMode::tag && finding.verdict && first_of_message(request.instance);
    terms.may_defer = mode == PolicyMode::defer && finding.verdict &&
                      settings_.defer.permits(finding.verdict->id, finding.next_hop);
    return policy_action(request, finding, terms);
}

// Said once for a message, and once a minute before one has begun.
const std::string& PolicyService::client_finding(const PolicyRequest& request, PolicyMode mode) {
    static const std::string nothing;
    if (request.client_address.empty() || request.client_address.size() > max_address ||
        request.request != "smtpd_access_policy" ||
        (mode != PolicyMode::warn && mode != PolicyMode::defer))
        return nothing;
    const auto now = std::chrono::steady_clock::now();
    if (clients_.size() >= max_clients && !clients_.contains(request.client_address))
        clients_.clear();
    auto& known = clients_[request.client_address];
    if (known.until <= now)
        known = {find_for_client(request.client_address, cache_, wall_now()).value_or(""),
                 now + hold_client_for};
    if (known.text.empty()) return nothing;
    const auto key = request.client_address + ' ' + request.instance;
    return key.size() <= max_instance_bytes && client_said_.allow(key, now) ? known.text : nothing;
}

PolicyMode PolicyService::mode_for(const PolicyRequest& request) {
    const auto& context = request.policy_context;
    if (!context.empty() && !parse_policy_mode(context) &&
        contexts_.allow(printable(context, 64), std::chrono::steady_clock::now()))
        log::warning(
            "policy_context={} in main.cf is no mode (observe, warn, tag, defer); that check gets "
            "policy.mode, which is {}",
            printable(context, 64), to_string(settings_.policy.mode));
    return mode_of(request, settings_.policy.mode);
}

bool PolicyService::first_of_message(const std::string& instance) {
    if (instance.empty() || instance.size() > max_instance_bytes) return false;
    if (!instances_.insert(instance).second) return false;
    instance_order_.push_back(instance);
    if (instance_order_.size() > max_instances) {
        instances_.erase(instance_order_.front());
        instance_order_.pop_front();
    }
    return true;
}

std::unique_ptr<Session> PolicyService::session() { return std::make_unique<PolicySession>(*this); }

}  // namespace postfathom
