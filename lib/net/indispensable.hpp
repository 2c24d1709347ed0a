// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>

namespace postfathom {

// For co_spawn, of a loop that a daemon cannot do without. What it throws leaves io_context::run:
// the process ends, and its service manager starts it anew. With asio::detached it would live on
// and be deaf.
inline constexpr auto indispensable = [](const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
};

}  // namespace postfathom
