// SPDX-License-Identifier: Apache-2.0
// The status page for browsers (status_page.html, put into the program when it is built), and the
// policy that keeps it from asking anybody but us.
#pragma once

#include <string>

namespace postfathom {

struct StatusPage {
    std::string html;
    std::string policy;  // for the header Content-Security-Policy
};

// With a nonce of its own for each reader: its script and its style sheet have it, and nothing else
// that a browser might find in the page would run.
StatusPage status_page();

}  // namespace postfathom
