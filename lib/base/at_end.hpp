// SPDX-License-Identifier: Apache-2.0
// Something to do at the end of a block, however that is left.
#pragma once

#include <utility>

namespace postfathom {

template <typename Work>
class [[nodiscard]] AtEnd {
  public:
    explicit AtEnd(Work work) : work_(std::move(work)) {}
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    ~AtEnd() { work_(); }

  private:
    Work work_;
};

}  // namespace postfathom
