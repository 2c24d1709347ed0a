// SPDX-License-Identifier: Apache-2.0
// Copies of main.cf and master.cf beside them, so that a change can be taken back to the byte.
#pragma once

#include <string>

#include "lib/base/result.hpp"

namespace postfathom {

// NAME.before-postfathom is the file as it was before our first change, NAME.with-postfathom as we
// left it: while the file is still that, nobody else's work is lost by going back.
class ConfigurationFiles {
  public:
    explicit ConfigurationFiles(std::string directory) : directory_(std::move(directory)) {}

    // Before a change. Keeps an older copy where only we changed the file since.
    Result<void> keep() const;
    // After it.
    Result<void> mark_applied() const;
    bool unchanged_since_setup() const;
    // Instead of it, when the change failed: the files as keep() found them.
    Result<void> take_back() const;
    // Puts the oldest copies back and forgets all.
    Result<void> restore() const;
    std::string backup_names() const;

  private:
    std::string directory_;
};

}  // namespace postfathom
