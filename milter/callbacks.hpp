// SPDX-License-Identifier: Apache-2.0
// The milter as libmilter sees it. The protocol is described in libmilter's documentation and in
// Postfix's MILTER_README; what is decided is in session and envelope.
#pragma once

#include "lib/base/result.hpp"
#include "milter/session.hpp"

namespace postfathom {

// Tells libmilter of our callbacks and the listening socket. libmilter hands callbacks no context
// before the first one, so the service's address is kept for all; it must stay valid until the
// process ends. Call once.
Result<void> register_milter(MilterService& service, int listening_descriptor);

// smfi_main(): serves until a signal or stop_milter(). False when libmilter gave up.
bool run_milter();

// Ends run_milter() in another thread.
void stop_milter();

}  // namespace postfathom
