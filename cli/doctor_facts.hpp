// SPDX-License-Identifier: Apache-2.0
// Reads the facts of this host for `postfathom doctor`: files of /proc, programs that print, and
// sockets. Changes nothing.
#pragma once

#include <string>

#include "lib/config/settings.hpp"
#include "lib/doctor/facts.hpp"

namespace postfathom {

SocketState socket_state(const std::string& path, bool datagram);
OwnPlaces own_places(const Settings& settings);

// `postfix_directory` as for `postconf -c`; empty: Postfix's own.
DoctorFacts read_doctor_facts(const Settings& settings, const std::string& postfix_directory);

}  // namespace postfathom
