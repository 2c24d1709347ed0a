// SPDX-License-Identifier: Apache-2.0
// Answers policy requests of all connections: what is remembered between requests is here.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/net/notice.hpp"
#include "policyd/connection.hpp"
#include "policyd/policy_request.hpp"
#include "policyd/tables.hpp"

namespace postfathom {

class PolicyService {
  public:
    // All outlive the service; `settings` may change between requests.
    PolicyService(const Settings& settings, const CacheReader& cache, NoticeSender& notices);

    // Appends "action=...\n\n".
    void answer(const PolicyRequest& request, std::string& out);

    std::unique_ptr<Session> session();

  private:
    std::string action(const PolicyRequest& request, const PolicyFinding& finding, PolicyMode mode,
                       const std::string& client);
    PolicyMode mode_for(const PolicyRequest& request);
    bool first_of_message(const std::string& instance);
    const std::string& client_finding(const PolicyRequest& request, PolicyMode mode);
    std::string host_token() const;

    const Settings& settings_;
    const CacheReader& cache_;
    NoticeSender& notices_;
    Pace wanted_;  // per next hop
    Pace logged_;
    Pace contexts_;
    std::unordered_set<std::string> instances_;  // that have their header
    std::deque<std::string> instance_order_;
    std::string host_name_;

    // What was found of a client's network holds for some seconds; empty text: nothing.
    struct ClientFinding {
        std::string text;
        std::chrono::steady_clock::time_point until;
    };
    std::unordered_map<std::string, ClientFinding> clients_;  // by address
    Pace client_said_;                                        // per network and message
};

}  // namespace postfathom
