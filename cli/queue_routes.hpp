// SPDX-License-Identifier: Apache-2.0
// Where the mail of a recipient's domain goes: as postfathom.toml, the daemon, and Postfix's
// configuration say.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"
#include "lib/mail_queue/groups.hpp"
#include "lib/postfix/configuration.hpp"

namespace postfathom {

class QueueRoutes {
  public:
    // `ask`: the daemon runs. `directory`: of Postfix's configuration; empty: its own.
    QueueRoutes(const Settings& settings, bool ask, std::string directory);

    MailPlace operator()(const std::string& domain);

  private:
    std::optional<MailPlace> learned_route(const std::string& domain);
    MailPlace configured_route(const std::string& domain);
    Result<std::optional<std::string>> look_up(const std::string& table, const std::string& key);

    const Settings& settings_;
    bool ask_;
    int asked_ = 0;
    std::string directory_;
    Result<PostfixConfiguration> postfix_;
    std::map<std::string, std::optional<std::string>> looked_up_;  // by table and key
    // That is left; none once a table has not answered.
    std::chrono::steady_clock::duration time_for_tables_;
};

}  // namespace postfathom
