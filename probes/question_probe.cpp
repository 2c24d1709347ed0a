// SPDX-License-Identifier: Apache-2.0
#include "probes/question_probe.hpp"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>

#include "probes/question.hpp"
#include "probes/question_search.hpp"

namespace postfathom {

namespace {

using Seconds = std::chrono::duration<double>;

// A peer whose timer starts at one second (RFC 6298 section 2) has repeated its answer by then.
constexpr Seconds least_patience{1.2};
// Servers take longer for some requests than for others, but not that much.
constexpr double slower = 4;

class QuestionStep {
  public:
    explicit QuestionStep(EndpointRun& run) : run_(run) {}
    asio::awaitable<void> run();

  private:
    asio::awaitable<void> run_plan(QuestionPlan plan);
    asio::awaitable<bool> ask(RequestShape shape);
    std::vector<QuestionPlan> plans() const;
    std::vector<QuestionPlan> plans_for_all_sizes() const;
    QuestionPlan hello_plan() const;
    QuestionPlan request_plan(QuestionKind kind) const;
    bool likely_fails(const RequestShape& shape) const;

    EndpointRun& run_;
    Seconds patience_ = least_patience;
};

// The ordinary attempt, and those that allowed the server less, were not answered at all.
bool nothing_answered(const Evidence& evidence) {
    if (evidence.reached != Phase::handshake || evidence.first_attempt_recovered) return false;
    const auto known = all_questions(evidence);
    return !known.empty() && std::all_of(known.begin(), known.end(), [](const Question& question) {
        return answer_of(question) != Answer::answered && question.outcome != Outcome::ok &&
               question.outcome != Outcome::tls_alert;
    });
}

// Every segment of a long ClientHello arrived, and the server answers only the ordinary one.
bool long_hello_unanswered(const Evidence& evidence) {
    if (evidence.outcome != Outcome::ok || evidence.reached < Phase::handshake) return false;
    const auto& flights = evidence.flights;
    return std::any_of(flights.begin(), flights.end(), [](const OutboundFlight& flight) {
        const bool left = flight.outcome == Outcome::cancelled;
        return !flight.answered && !left &&
               (flight.shape == FlightShape::complete || flight.outcome == Outcome::reset ||
                flight.outcome == Outcome::closed || flight.outcome == Outcome::tls_alert);
    });
}

// The server greets and answers EHLO, and then no more.
bool stalls_before_tls(const Evidence& evidence) {
    return evidence.reached == Phase::starttls && evidence.outcome == Outcome::timed_out &&
           evidence.dialog.unfinished_bytes == 0;
}

std::uint32_t segment_payload(const Evidence& evidence) {
    constexpr std::uint32_t likely = 1428;
    if (evidence.attempts.empty()) return likely;
    const auto payload = evidence.attempts.front().counters.send_mss;
    return payload > 0 ? payload : likely;
}

QuestionPlan QuestionStep::hello_plan() const {
    QuestionPlan plan;
    plan.smallest = smallest_hello(run_.tls(), run_.plan().server_name);
    plan.largest = TlsSession::largest_hello;
    plan.segment = segment_payload(run_.evidence);
    return plan;
}

QuestionPlan QuestionStep::request_plan(QuestionKind kind) const {
    QuestionPlan plan;
    plan.kind = kind;
    const bool group = kind == QuestionKind::rset;
    plan.smallest = group ? longest_line + 1 : smallest_harmless_request;
    plan.segment = segment_payload(run_.evidence);
    plan.largest = group ? plan.segment : std::min(longest_line, plan.segment);
    return plan;
}

// Nothing points anywhere: sizes around powers of two, where buffers end.
std::vector<QuestionPlan> QuestionStep::plans_for_all_sizes() const {
    std::vector<QuestionPlan> plans;
    const auto ask = [&plans](QuestionPlan plan, std::initializer_list<std::uint32_t> sizes) {
        for (const auto size : sizes) plan.first.push_back({plan.kind, size, 1});
        plans.push_back(std::move(plan));
    };
    const auto service = run_.plan().endpoint.service;
    // These leave no unfinished handshake behind.
    if (!speaks_imap(service) && !implicit_tls(service) &&
        run_.evidence.reached >= Phase::starttls) {
        ask(request_plan(QuestionKind::noop), {255, 256, 257, 400, 511, 512});
        ask(request_plan(QuestionKind::rset), {513, 1024, 1025});
    }
    if (run_.evidence.reached >= Phase::handshake) {
        auto plan = hello_plan();
        const auto ordinary = run_.evidence.attempts.front().hello_bytes;
        plan.first = {{plan.kind, post_quantum_hello, 2}, {plan.kind, ordinary, 2}};
        ask(std::move(plan), {500, 512, 513, 1024, 1025});
    }
    return plans;
}

std::vector<QuestionPlan> QuestionStep::plans() const {
    const auto& evidence = run_.evidence;
    std::vector<QuestionPlan> plans;
    if (nothing_answered(evidence)) {
        plans.push_back(hello_plan());
    } else if (long_hello_unanswered(evidence)) {
        const auto ordinary = evidence.attempts.front().hello_bytes;
        auto plan = hello_plan();
        plan.first = {{plan.kind, post_quantum_hello, 2}, {plan.kind, ordinary, 2}};
        plans.push_back(std::move(plan));
    } else if (run_.plan().ask_sizes) {
        return plans_for_all_sizes();
    } else if (stalls_before_tls(evidence) && !speaks_imap(run_.plan().endpoint.service)) {
        auto plan = request_plan(QuestionKind::noop);
        constexpr std::uint32_t starttls = 10;  // with its line end
        plan.first = {{plan.kind, starttls, 1}, {plan.kind, 64, 1}};
        plans.push_back(std::move(plan));
    }
    return plans;
}

bool QuestionStep::likely_fails(const RequestShape& shape) const {
    const QuestionTable table(all_questions(run_.evidence));
    return !table.passes(shape);
}

// False: another question would not be answered any better.
asio::awaitable<bool> QuestionStep::ask(RequestShape shape) {
    auto& evidence = run_.evidence;
    const auto question =
        std::make_unique<QuestionRun>(run_.plan(), run_.tls(), shape, patience_, run_.connecting());
    co_await question->ask();
    run_.connected(question->dialog(), question->aborted());
    run_.report(Phase::handshake);
    if (!question->question()) co_return false;
    evidence.questions.push_back(*question->question());
    if (!evidence.handshake && question->handshake()) evidence.handshake = question->handshake();
    if (question->question()->answered)
        patience_ = std::max(patience_, Seconds(slower * question->question()->seconds));
    co_return true;
}

asio::awaitable<void> QuestionStep::run_plan(QuestionPlan plan) {
    const auto before = all_questions(run_.evidence).size();
    while (true) {
        const auto shape = next_question(plan, all_questions(run_.evidence), before);
        if (!shape) co_return;
        if (!run_.may_connect(shape->kind == QuestionKind::client_hello && likely_fails(*shape)))
            co_return;
        const bool judged = co_await ask(*shape);
        if (!judged) co_return;
    }
}

asio::awaitable<void> QuestionStep::run() {
    auto all = plans();
    for (auto& plan : all) {
        co_await run_plan(std::move(plan));
        if (find_size_pattern(all_questions(run_.evidence))) co_return;
    }
}

asio::awaitable<void> run_to_end(std::unique_ptr<QuestionStep> step) { co_await step->run(); }

}  // namespace

asio::awaitable<void> ask_questions(EndpointRun& run) {
    return run_to_end(std::make_unique<QuestionStep>(run));
}

}  // namespace postfathom
