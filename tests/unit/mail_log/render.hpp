// SPDX-License-Identifier: Apache-2.0
// A parsed line as one line of text, so that tests and the corpus compare and show it whole.
#pragma once

#include <fmt/core.h>

#include <string>

#include "lib/mail_log/lines.hpp"
#include "lib/mail_log/server_lines.hpp"

namespace postfathom {

inline std::string render(const std::optional<LoggedPeer>& peer) {
    if (!peer) return "-";
    return peer->host + "[" + peer->address.to_string() + "]" +
           (peer->port ? fmt::format(":{}", *peer->port) : std::string());
}

inline std::string render(const Trouble& trouble) {
    return std::string(to_string(trouble.kind)) + " " + render(trouble.peer) + " | " +
           trouble.reason;
}

inline std::string render(const DeliveryStatus& status) {
    return "status " + status.status + " " + status.dsn + " domain=" + status.recipient_domain +
           " relay=" + render(status.relay) +
           " trouble=" + (status.trouble ? std::string(to_string(*status.trouble)) : "-") +
           " peer=" + render(status.reason_peer) + " | " + status.reason;
}

inline std::string render(const TlsEstablished& established) {
    return (established.reused ? "tls-reused " : "tls-established ") + render(established.peer);
}

inline std::string render(const std::optional<LogLine>& line) {
    if (!line) return "-";
    return line->program + "[" + std::to_string(line->pid) + "] " +
           (line->queue_id.empty() ? "-" : line->queue_id) + " " +
           std::visit([](const auto& event) { return render(event); }, line->event);
}

inline std::string render(const std::optional<ServerEvent>& event) {
    if (!event) return "-";
    auto text = event->head.program + "[" + std::to_string(event->head.pid) + "] " +
                (event->queue_id.empty() ? "-" : event->queue_id) + " " +
                std::string(to_string(event->kind)) + " " + render(event->peer);
    if (!event->stage.empty()) text += " after " + event->stage;
    if (event->bytes) text += fmt::format(" bytes={}", *event->bytes);
    if (event->starttls_total > 0)
        text += fmt::format(" starttls={}/{}", event->starttls_good, event->starttls_total);
    return event->detail.empty() ? text : text + " | " + event->detail;
}

// By whichever parser knows the line.
inline std::string render_line(std::string_view line) {
    const auto delivery = parse_log_line(line);
    return delivery ? render(delivery) : render(parse_server_line(line));
}

}  // namespace postfathom
