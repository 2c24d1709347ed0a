// SPDX-License-Identifier: Apache-2.0
// What a hostile server says in clear text, for fake_mx.
#pragma once

#include <string>

// Holds the conversation of a mode below up to TLS, on a connected socket. True: TLS is to begin
// now; false: it is over.
bool converse_hostile(int socket, const std::string& mode);

bool is_hostile(const std::string& mode);
