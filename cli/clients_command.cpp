// SPDX-License-Identifier: Apache-2.0
// postfathom list --clients: the networks that mail comes from, and the TLS they speak.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::string_view client_row = "{:<22} {:>8} {:>8} {:>8} {:>8}  {:<21} {}\n";

std::string tls_in_words(const json::value& client) {
    const auto& tls = member(client, "tls");
    const auto version = text(tls, "version");
    if (version.empty()) return "none seen";
    const auto bits = text(tls, "bits");
    return fmt::format("{} {}{}", version, text(tls, "cipher"),
                       bits.empty() ? "" : " (" + bits + " bits)");
}

void print_client(const json::value& client) {
    fmt::print(client_row, text(client, "network"), text(client, "tls_sessions"),
               text(client, "plain_sessions"), text(client, "failed_handshakes"),
               text(client, "lost_in_data"), text(client, "seen_at"), tls_in_words(client));
}

}  // namespace

int run_list_clients(const ShowOptions& options, const Settings& settings) {
    std::string after;
    bool titled = false;
    do {
        const auto asked =
            ask_daemon(settings, "/v1/clients?limit=1000&after=" + percent_encoded(after));
        if (!asked.body) return asked.exit_status;
        const auto page = parse_answer(*asked.body);
        for (const auto& client : list(page, "clients")) {
            if (options.json) {
                fmt::print("{}\n", json::serialize(client));
                continue;
            }
            if (!titled)
                fmt::print(client_row, "NETWORK", "TLS", "NO TLS", "FAILED", "LOST", "LAST SEEN",
                           "LAST TLS");
            titled = true;
            print_client(client);
        }
        const auto next = text(page, "next");
        if (next <= after && !next.empty()) break;  // pages go forward
        after = next;
    } while (!after.empty());
    if (!options.json && !titled) fmt::print("no client is known yet\n");
    return 0;
}

}  // namespace postfathom
