// SPDX-License-Identifier: Apache-2.0
// A flag that is up as long as this lives, however the block is left.
#pragma once

namespace postfathom {

class Raised {
  public:
    explicit Raised(bool& flag) : flag_(flag) { flag_ = true; }
    Raised(const Raised&) = delete;
    Raised& operator=(const Raised&) = delete;
    ~Raised() { flag_ = false; }

  private:
    bool& flag_;
};

}  // namespace postfathom
