// SPDX-License-Identifier: Apache-2.0
// What to change in main.cf and master.cf so that Postfix asks Postfathom, and what to take out
// again. Pure. Adds to lists and never replaces what is there.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/postfix/own_hooks.hpp"

namespace postfathom {

enum class Hook {
    policy,  // check_policy_service
    milter,  // smtpd_milters
    tags,    // smtp_delivery_status_filter
    tls,     // smtp_tls_policy_maps; fails closed
    ehlo,    // smtp_discard_ehlo_keyword_address_maps; fails closed
};
std::optional<Hook> parse_hook_name(std::string_view name);

struct SetupChange {
    std::string service;  // "submission/inet" of master.cf; empty: main.cf
    std::string parameter;
    std::string value;
    bool unset = false;  // takes the parameter out
    bool operator==(const SetupChange&) const = default;
};

struct SetupPlan {
    std::vector<SetupChange> changes;  // none: everything is as it should be
    std::vector<std::string> notes;    // for a person
};

// `written`: the configuration with $names as they are. Fails where this Postfix or its chroot
// cannot have a hook that fails open.
Result<SetupPlan> plan_setup(const PostfixConfiguration& written, const OwnPlaces& own,
                             const std::set<Hook>& hooks);

// Takes out what is ours. `defaults`: what `postconf -d` prints.
SetupPlan plan_removal(const PostfixConfiguration& written,
                       const std::map<std::string, std::string>& defaults, const OwnPlaces& own);

// The arguments of postconf(1) that make a change.
std::vector<std::string> postconf_arguments(const SetupChange& change);

}  // namespace postfathom
