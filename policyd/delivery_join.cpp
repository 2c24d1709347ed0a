// SPDX-License-Identifier: Apache-2.0
#include "policyd/delivery_join.hpp"

#include <algorithm>
#include <functional>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

// Postfix masks control bytes in its log and cuts lines at about 2000 characters, so texts are
// compared by what survives both.
std::size_t hash_of(std::string_view status_text) {
    constexpr std::size_t compared = 400;
    return std::hash<std::string>{}(printable(status_text.substr(0, compared), compared));
}

bool fits(TroubleKind question, TroubleKind line) {
    return (question == TroubleKind::cannot_start_tls && line == TroubleKind::handshake_error) ||
           (question == TroubleKind::certificate_error && line == TroubleKind::certificate_error);
}

}  // namespace

DeliveryJoin::Process& DeliveryJoin::process(std::uint32_t pid, Time now) {
    if (processes_.size() >= max_processes && !processes_.contains(pid)) {
        const auto oldest = std::min_element(
            processes_.begin(), processes_.end(),
            [](const auto& a, const auto& b) { return a.second.touched < b.second.touched; });
        processes_.erase(oldest);
    }
    auto& found = processes_[pid];
    found.touched = now;
    return found;
}

void DeliveryJoin::line(const LogLine& line, Time now) {
    if (line.pid == 0 || line.program == "error") return;  // error(8) asks nothing
    if (!host_.empty() && line.host != host_) return;
    auto& state = process(line.pid, now);
    if (const auto* status = std::get_if<DeliveryStatus>(&line.event)) {
        status_line(state, line, *status, now);
    } else if (const auto* established = std::get_if<TlsEstablished>(&line.event)) {
        // After a failed verification the session is "established" all the same, for a moment;
        // where tlsproxy(8) shook hands, this is the only line of smtp(8) about it.
        state.candidate.reset();
        if (!established->verified && established->peer.port)
            state.candidate = Candidate{TroubleKind::certificate_error, established->peer, now, {}};
        state.greeted.reset();
        state.answered_for.reset();
    } else {
        const auto& trouble = std::get<Trouble>(line.event);
        state.candidate.reset();
        state.greeted.reset();
        state.answered_for.reset();
        const bool of_host = line.queue_id.empty() && trouble.peer && trouble.peer->port;
        if (of_host && (trouble.kind == TroubleKind::handshake_error ||
                        trouble.kind == TroubleKind::certificate_error))
            state.candidate = Candidate{trouble.kind, *trouble.peer, now, {}};
    }
}

void DeliveryJoin::greeted(std::uint32_t pid, const IpAddress& server, Time now) {
    if (pid == 0) return;
    auto& state = process(pid, now);
    state.greeted = server;
    state.answered_for.reset();
}

void DeliveryJoin::proxy_connects(std::string_view host, Time now) {
    if (host_.empty() || host == host_) proxy_connected_ = now;
}

void DeliveryJoin::status_line(Process& state, const LogLine& line, const DeliveryStatus& status,
                               Time now) {
    const auto hash = hash_of(status.dsn + " " + status.reason);
    const auto answer = std::find_if(state.unlogged.begin(), state.unlogged.end(),
                                     [&](const Answer& a) { return a.text_hash == hash; });
    if (answer != state.unlogged.end()) {
        delays_[next_delay_++ % delays_.size()] = now - answer->at;
        read_past_ = std::max(read_past_, answer->at);
        host_ = line.host;
        state.unlogged.erase(state.unlogged.begin(), answer + 1);
    }
    if (!state.candidate) return;
    const bool same_trouble =
        status.trouble && fits(*status.trouble, state.candidate->kind) && !status.reason_peer;
    if (!same_trouble ||
        (!state.candidate->queue_id.empty() && state.candidate->queue_id != line.queue_id)) {
        state.candidate.reset();
    } else {
        state.candidate->queue_id = line.queue_id;
    }
}

DeliveryJoin::Duration DeliveryJoin::settle_time(Duration patience) const {
    const auto slowest = *std::max_element(delays_.begin(), delays_.end());
    return std::max(min_settle, std::min(2 * slowest, patience / 2));
}

void DeliveryJoin::active(std::uint32_t pid, Time at) {
    if (at < last_active_.at) return;  // a question that is looked at again
    if (pid != last_active_.pid) last_of_another_ = last_active_;
    last_active_ = {pid, at};
}

bool DeliveryJoin::log_has_passed(std::uint32_t pid, const Process& state, Time asked) const {
    const auto& of_another = last_active_.pid == pid ? last_of_another_ : last_active_;
    return read_past_ >= asked || of_another.at <= state.last_answer;
}

std::optional<LoggedPeer> DeliveryJoin::greeted_server(const Process& state, TroubleKind kind,
                                                       bool passed) const {
    // That lines of this process are read at all is known from one that came back.
    if (kind != TroubleKind::cannot_start_tls) return {};
    if (state.candidate && fits(kind, state.candidate->kind)) return {};
    if (!state.unlogged.empty() || state.overflowed || host_.empty()) return {};
    if (state.greeted) return LoggedPeer{"", *state.greeted, std::nullopt};
    if (!state.answered_for || !passed || proxy_connected_ >= state.last_answer) return {};
    return LoggedPeer{"", *state.answered_for, std::nullopt};
}

DeliveryJoin::Outcome DeliveryJoin::find(std::uint32_t pid, TroubleKind kind, Time asked,
                                         Duration patience, Time now) {
    if (pid == 0) return Unknown{};  // a process of another PID namespace
    active(pid, asked);
    const auto known = processes_.find(pid);
    if (known != processes_.end() && known->second.answered_for &&
        kind == TroubleKind::cannot_start_tls && asked - known->second.last_answer <= same_loop)
        return LoggedPeer{"", *known->second.answered_for, std::nullopt};
    const auto end = asked + patience;
    const auto settled = asked + settle_time(patience);
    if (settled > end) return Unknown{};
    if (now < settled) return WaitUntil{settled};

    auto& state = process(pid, now);
    while (!state.unlogged.empty() && now - state.unlogged.front().at > lost_after) {
        state.unlogged.pop_front();
        host_.clear();  // the host may have been renamed
    }
    if (state.unlogged.empty()) state.overflowed = false;
    const bool passed = now >= end && log_has_passed(pid, state, asked);
    const auto certain = [&] {
        if (!state.candidate || !state.unlogged.empty() || state.overflowed) return false;
        const auto& candidate = *state.candidate;
        const bool further = !candidate.queue_id.empty();
        if (further && asked - state.last_answer > same_loop && !passed) return false;
        const auto since =
            further ? std::max(state.last_answer, candidate.read_at) : candidate.read_at;
        return fits(kind, candidate.kind) && asked - since <= max_age;
    };
    if (certain()) return state.candidate->peer;
    if (now < end) return WaitUntil{end};
    if (const auto server = greeted_server(state, kind, passed)) {
        state.answered_for = server->address;
        return *server;
    }
    return Unknown{};
}

void DeliveryJoin::answered(std::uint32_t pid, std::string_view status_text, Time now) {
    if (pid == 0) return;
    active(pid, now);
    auto& state = process(pid, now);
    state.last_answer = now;
    // answered_for outlives it: the next recipient's question may be on its way.
    state.greeted.reset();
    if (state.unlogged.size() >= max_unlogged) {
        // proxymap(8) asks for many processes, or the log is not the one of this Postfix.
        state.overflowed = true;
        state.unlogged.pop_front();
    }
    state.unlogged.push_back({hash_of(status_text), now});
}

}  // namespace postfathom
