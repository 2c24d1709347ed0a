// SPDX-License-Identifier: Apache-2.0
#include "milter/callbacks.hpp"

#include <fmt/format.h>
#include <libmilter/mfapi.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <string>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/header.hpp"

namespace postfathom {
namespace {

// Set once before libmilter starts threads; see register_milter().
MilterService* shared_service = nullptr;

constexpr unsigned long wanted_actions = SMFIF_ADDHDRS | SMFIF_CHGHDRS;
// We hear RCPT TO, headers and their end, and answer the last one only: a message that stays as it
// is, as nearly all do, is accepted there, which spares cleanup(8) the reading of its body. Else
// the end of the message is answered too. Where no message is ever changed, DATA is the end for us.
constexpr unsigned long unwanted_events =
    SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NOBODY | SMFIP_NOUNKNOWN;
// With RCPT TO come the client and its TLS, which Postfix does not send by itself there; so the
// connection and HELO, with STARTTLS the second one, need not be heard.
constexpr const char* recipient_macros =
    "i {rcpt_addr} {rcpt_host} {rcpt_mailer} {client_addr} {tls_version} {cipher} {cipher_bits}";

MilterSession* session_of(SMFICTX* context) {
    return static_cast<MilterSession*>(smfi_getpriv(context));
}

// libmilter's interface lacks const; it does not write to names.
char* name(const char* text) { return const_cast<char*>(text); }

std::string_view macro(SMFICTX* context, const char* symbol) {
    const char* value = smfi_getsymval(context, name(symbol));
    return value == nullptr ? std::string_view() : value;
}

class Running {
  public:
    Running() = default;
    ~Running() { shared_service->running.end(turn_); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    const std::size_t turn_ = shared_service->running.begin();
};

// A fault here is likely to come back with every message, so only the first one is told.
void report_once(const char* where, const char* what) noexcept {
    if (shared_service->failed.test_and_set()) return;
    try {
        log::error("{}: {}; mail goes on without us, and this is not logged again", where,
                   printable(what));
    } catch (...) {  // no memory for a log line
    }
}

// How long Postfix waits, where it waits.
class Timed {
  public:
    explicit Timed(const sfsistat& answer) : answer_(answer) {}
    ~Timed() {
        if (answer_ != SMFIS_NOREPLY)
            shared_service->times.add(std::chrono::steady_clock::now() - begun_);
    }
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;

  private:
    const sfsistat& answer_;
    const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

// The answer of `work`; if that throws, mail goes on with `otherwise`.
template <typename Work>
sfsistat with_answer(sfsistat otherwise, const char* where, Work work) noexcept {
    const Running running;
    const Timed timed(otherwise);
    try {
        return work();
    } catch (const std::exception& caught) {
        report_once(where, caught.what());
    } catch (...) {
        report_once(where, "an exception of unknown kind");
    }
    return otherwise;
}

// What is asked of Postfix for this session.
unsigned long wanted_steps(const MilterSession& session, unsigned long offered) {
    auto steps = unwanted_events | SMFIP_NR_HDR;
    if (!session.terms().may_refuse()) steps |= SMFIP_NR_RCPT;
    // Forged copies cannot be removed, so they need not be found.
    if (!session.agreement.change_headers) steps |= SMFIP_NOHDRS;
    steps |= session.terms().changes_messages() ? SMFIP_NODATA : SMFIP_NOEOH;
    return offered & steps;
}

sfsistat on_negotiate(SMFICTX* context, unsigned long offered_actions, unsigned long offered_steps,
                      unsigned long, unsigned long, unsigned long* actions, unsigned long* steps,
                      unsigned long* reserved2, unsigned long* reserved3) {
    // Until a session is there: nothing is asked for, so that nothing but the end of each message
    // arrives.
    *actions = 0;
    *steps = offered_steps &
             (unwanted_events | SMFIP_NODATA | SMFIP_NORCPT | SMFIP_NOHDRS | SMFIP_NOEOH);
    *reserved2 = 0;
    *reserved3 = 0;
    return with_answer(SMFIS_CONTINUE, "negotiation", [&] {
        auto session = std::make_unique<MilterSession>(*shared_service);
        auto& agreement = session->agreement;
        const auto granted =
            session->terms().changes_messages() ? offered_actions & wanted_actions : 0;
        agreement.change_headers = (granted & SMFIF_CHGHDRS) != 0;
        agreement.add_headers = (granted & SMFIF_ADDHDRS) != 0;
        const auto agreed = wanted_steps(*session, offered_steps);
        agreement.recipient_reply = (agreed & SMFIP_NR_RCPT) == 0;
        agreement.header_reply = (agreed & SMFIP_NR_HDR) == 0;
        if (smfi_setpriv(context, session.get()) != MI_SUCCESS) return SMFIS_CONTINUE;

        *actions = granted;
        *steps = agreed;
        if ((offered_actions & SMFIF_SETSYMLIST) != 0) {
            smfi_setsymlist(context, SMFIM_ENVRCPT, name(recipient_macros));
            smfi_setsymlist(context, SMFIM_DATA, name("i"));
            smfi_setsymlist(context, SMFIM_EOM, name("i"));
        }
        session.release();  // libmilter keeps the pointer; on_close() deletes
        return SMFIS_CONTINUE;
    });
}

sfsistat refuse(SMFICTX* context, const Refusal& refusal) {
    auto status = refusal.status;
    auto text = refusal.text;
    std::replace(text.begin(), text.end(), '%', '?');  // begins a macro in some versions
    const auto set = smfi_setreply(context, name("451"), status.data(), text.data());
    return set == MI_SUCCESS ? SMFIS_TEMPFAIL : SMFIS_CONTINUE;
}

sfsistat on_recipient(SMFICTX* context, char** arguments) {
    auto* session = session_of(context);
    if (session == nullptr) return SMFIS_CONTINUE;
    const sfsistat answer = session->agreement.recipient_reply ? SMFIS_CONTINUE : SMFIS_NOREPLY;
    return with_answer(answer, "RCPT TO", [&] {
        session->client({.address = macro(context, "{client_addr}"),
                         .tls_version = macro(context, "{tls_version}"),
                         .cipher = macro(context, "{cipher}"),
                         .cipher_bits = macro(context, "{cipher_bits}")});
        RecipientMacros macros{.mailer = macro(context, "{rcpt_mailer}"),
                               .host = macro(context, "{rcpt_host}"),
                               .recipient = macro(context, "{rcpt_addr}")};
        if (macros.recipient.empty() && arguments != nullptr && arguments[0] != nullptr)
            macros.recipient = arguments[0];
        const auto refusal = session->recipient(macros);
        return refusal ? refuse(context, *refusal) : answer;
    });
}

void say(SMFICTX* context, MilterSession& session) {
    const auto level =
        session.terms().mode == PolicyMode::warn ? log::Level::warning : log::Level::info;
    const auto queue_id = macro(context, "i");
    for (const auto& line : session.say_findings())
        log::write(level, fmt::format("{}: its mail goes to {}", printable(queue_id, 32), line));
}

// Asked for only where messages stay as they are.
sfsistat on_data(SMFICTX* context) {
    auto* session = session_of(context);
    if (session == nullptr) return SMFIS_CONTINUE;
    return with_answer(SMFIS_CONTINUE, "DATA", [&]() -> sfsistat {
        if (session->terms().changes_messages()) return SMFIS_CONTINUE;
        say(context, *session);
        return SMFIS_ACCEPT;
    });
}

sfsistat on_header(SMFICTX* context, char* header_name, char*) {
    auto* session = session_of(context);
    if (session == nullptr) return SMFIS_CONTINUE;
    const sfsistat answer = session->agreement.header_reply ? SMFIS_CONTINUE : SMFIS_NOREPLY;
    return with_answer(answer, "header", [&] {
        if (header_name != nullptr) session->header(header_name);
        return answer;
    });
}

sfsistat on_end_of_headers(SMFICTX* context) {
    auto* session = session_of(context);
    if (session == nullptr) return SMFIS_CONTINUE;
    return with_answer(SMFIS_CONTINUE, "end of headers", [&]() -> sfsistat {
        if (!session->leaves_message()) return SMFIS_CONTINUE;
        session->reset();
        return SMFIS_ACCEPT;
    });
}

// diagnosis_header_name is a literal, so data() ends in '\0'.
void apply(SMFICTX* context, HeaderActions actions) {
    for (auto copy = actions.remove; copy > 0; --copy)
        smfi_chgheader(context, name(diagnosis_header_name.data()), static_cast<int>(copy),
                       nullptr);
    // Position 0 is above all others, Postfix's own Received: included; each insertion there pushes
    // the one before it down.
    for (auto value = actions.insert.rbegin(); value != actions.insert.rend(); ++value)
        smfi_insheader(context, 0, name(diagnosis_header_name.data()), value->data());
}

sfsistat on_end_of_message(SMFICTX* context) {
    auto* session = session_of(context);
    if (session == nullptr) return SMFIS_CONTINUE;
    return with_answer(SMFIS_CONTINUE, "end of message", [&]() -> sfsistat {
        if (!session->terms().changes_messages()) {
            say(context, *session);  // DATA was not sent to us
            return SMFIS_CONTINUE;
        }
        auto actions = session->end_of_message();
        const auto queue_id = macro(context, "i");
        if (actions.remove > 0)
            log::info("{}: {} {} header(s) from outside removed{}", printable(queue_id, 32),
                      actions.remove, diagnosis_header_name,
                      actions.copies_left ? ", and more were left" : "");
        if (!actions.insert.empty())
            log::debug("{}: {} header(s) {} added", printable(queue_id, 32), actions.insert.size(),
                       diagnosis_header_name);
        apply(context, std::move(actions));
        return SMFIS_CONTINUE;
    });
}

// After RSET, and once or twice around each message and STARTTLS in Postfix.
sfsistat on_abort(SMFICTX* context) {
    if (auto* session = session_of(context))
        return with_answer(SMFIS_CONTINUE, "abort", [&] {
            session->reset();
            return SMFIS_CONTINUE;
        });
    return SMFIS_CONTINUE;
}

sfsistat on_close(SMFICTX* context) {
    const std::unique_ptr<MilterSession> session(session_of(context));
    smfi_setpriv(context, nullptr);
    return SMFIS_CONTINUE;
}

}  // namespace

Result<void> register_milter(MilterService& service, int listening_descriptor) {
    shared_service = &service;
    auto connection = fmt::format("fd:{}", listening_descriptor);
    if (smfi_setconn(connection.data()) != MI_SUCCESS)
        return fail(ErrorCode::io, "libmilter refuses the listening socket: out of memory");
    smfiDesc description{};
    description.xxfi_name = name("postfathom-milter");
    description.xxfi_version = SMFI_VERSION;
    description.xxfi_flags = wanted_actions | SMFIF_SETSYMLIST;
    description.xxfi_envrcpt = on_recipient;
    description.xxfi_data = on_data;
    description.xxfi_header = on_header;
    description.xxfi_eoh = on_end_of_headers;
    description.xxfi_eom = on_end_of_message;
    description.xxfi_abort = on_abort;
    description.xxfi_close = on_close;
    description.xxfi_negotiate = on_negotiate;
    if (smfi_register(description) != MI_SUCCESS)
        return fail(
            ErrorCode::unsupported,
            fmt::format("libmilter refuses our callbacks: expected interface version {:#x}; "
                        "install the libmilter that this program was built with",
                        SMFI_VERSION));
    return {};
}

bool run_milter() { return smfi_main() == MI_SUCCESS; }

void stop_milter() { smfi_stop(); }

}  // namespace postfathom
