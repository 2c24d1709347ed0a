// SPDX-License-Identifier: Apache-2.0
// Fetches one small file over HTTPS, for MTA-STS policies: the certificate has to be right, nothing
// else than 200 counts, and no redirection is followed (RFC 8461 section 3.3).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/destination/ip_address.hpp"
#include "probes/tls_session.hpp"

namespace postfathom {

struct HttpsFile {
    std::string host;  // for SNI, the certificate and the Host header
    std::string path;  // "/.well-known/mta-sts.txt"
    std::vector<IpAddress> addresses;
    std::size_t max_bytes = 0;
};

// The body, of type text/plain. Two addresses are tried at most; `timeout` is for all of it.
boost::asio::awaitable<Result<std::string>> https_get(HttpsFile file, TlsContext tls,
                                                      std::chrono::milliseconds timeout);

}  // namespace postfathom
