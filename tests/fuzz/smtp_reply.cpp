// SPDX-License-Identifier: Apache-2.0
// What an SMTP server says in a probe, before and inside TLS.
#include "tests/fuzz/dialog_target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

std::string tell(const Input& input) { return tell_dialog(input, {Service::smtp, Service::smtps}); }

}  // namespace postfathom::fuzz
