// SPDX-License-Identifier: Apache-2.0
// Reads the facts of this host for `postfathom doctor`: files of /proc, programs that print, and
// sockets. Changes nothing.
#pragma once

#include <string>

#include "lib/config/settings.hpp"
#include "lib/doctor/facts.hpp"

namespace postfathom {

// `postfix_directory` as for `postconf -c`; empty: Postfix's own.
DoctorFacts read_doctor_facts(const Settings& settings, const std::string& postfix_directory);

}  // namespace postfathom
