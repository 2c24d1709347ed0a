// SPDX-License-Identifier: Apache-2.0
// Where the mail of a recipient's domain goes: as postfathom.toml, the daemon, and Postfix's
// configuration say.
#pragma once

#include <optional>
#include <string>

#include "lib/config/settings.hpp"
#include "lib/mail_queue/groups.hpp"
#include "lib/postfix/configuration.hpp"

namespace postfathom {

class QueueRoutes {
  public:
    // `ask`: the daemon runs. `postfix`: the directory of the configuration that the queue belongs
    // to, empty: Postfix's own; nothing where the queue may be another host's.
    QueueRoutes(const Settings& settings, bool ask, const std::optional<std::string>& postfix);

    MailPlace operator()(const std::string& domain);

  private:
    std::optional<MailPlace> learned_route(const std::string& domain);
    MailPlace configured_route(const std::string& domain);

    const Settings& settings_;
    bool ask_;
    int asked_ = 0;
    std::optional<PostfixConfiguration> postfix_;
    std::string directory_;
    int domains_looked_up_ = 0;
    bool tables_answer_ = true;
};

}  // namespace postfathom
