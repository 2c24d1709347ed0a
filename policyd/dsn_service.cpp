// SPDX-License-Identifier: Apache-2.0
#include "policyd/dsn_service.hpp"

#include <boost/asio/post.hpp>
#include <vector>

#include "lib/base/log.hpp"
#include "lib/mail_log/server_lines.hpp"
#include "policyd/socketmap.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::string_view map_name = "dsn";
constexpr auto notify_again_after = 60s;
constexpr std::size_t max_remembered_endpoints = 20'000;

}  // namespace

class DsnService::DsnSession : public Session {
  public:
    DsnSession(DsnService& service, std::uint32_t pid, Connection& connection)
        : service_(service), pid_(pid), connection_(connection), timer_(service.executor_) {}
    ~DsnSession() override { stop_waiting(); }

    Next feed(std::string_view& bytes, std::string& out) override {
        while (!bytes.empty()) {
            const auto status = parser_.feed(bytes);
            if (status == SocketmapParser::Status::broken) {
                log::warning("dsn socket: {}; closing that connection", parser_.error());
                return Next::close;
            }
            if (status == SocketmapParser::Status::complete && !take_request(out))
                return Next::pause;
        }
        return Next::read;
    }

    Next resume(std::string& out) override { return try_to_answer(out) ? Next::read : Next::pause; }

    bool mid_request() const override { return parser_.mid_request(); }

    Connection& connection() { return connection_; }

  private:
    // False: the answer has to wait for the log.
    bool take_request(std::string& out) {
        const bool ours = parser_.name() == map_name && !parser_.overlong();
        question_ = ours ? parse_dsn_key(parser_.key()) : std::nullopt;
        if (!question_) {
            if (ours) {
                service_.leave_alone(pid_, parser_.key(), out);
            } else {
                append_not_found(out);
            }
            return true;
        }
        if (question_->peer) {
            service_.answer(pid_, parser_.key(), *question_, question_->peer, out);
            return true;
        }
        asked_ = Clock::now();
        if (service_.follower_) service_.follower_->poll();
        return try_to_answer(out);
    }

    bool try_to_answer(std::string& out) {
        const auto patience = service_.follower_ ? service_.settings_.dsn.log_wait : 0ms;
        const auto found =
            service_.join_.find(pid_, question_->kind, asked_, patience, Clock::now());
        if (const auto* wait = std::get_if<DeliveryJoin::WaitUntil>(&found)) {
            wait_until(wait->time);
            return false;
        }
        stop_waiting();
        const auto* peer = std::get_if<LoggedPeer>(&found);
        service_.answer(pid_, parser_.key(), *question_, peer ? std::optional(*peer) : std::nullopt,
                        out);
        return true;
    }

    void wait_until(Clock::time_point time) {
        if (!waiting_) service_.waiting_.emplace(pid_, this);
        waiting_ = true;
        timer_.expires_at(time);
        timer_.async_wait([connection = connection_.weak_from_this(),
                           &service = service_](boost::system::error_code error) {
            const auto alive = connection.lock();
            if (error || !alive) return;
            if (service.follower_) service.follower_->poll();
            alive->resume();
        });
    }

    void stop_waiting() {
        timer_.cancel();
        if (!waiting_) return;
        waiting_ = false;
        const auto [begin, end] = service_.waiting_.equal_range(pid_);
        for (auto it = begin; it != end; ++it) {
            if (it->second != this) continue;
            service_.waiting_.erase(it);
            return;
        }
    }

    DsnService& service_;
    std::uint32_t pid_;
    Connection& connection_;
    boost::asio::steady_timer timer_;
    SocketmapParser parser_;
    std::optional<DsnQuestion> question_;  // views into parser_
    Clock::time_point asked_{};
    bool waiting_ = false;
};

DsnService::DsnService(boost::asio::any_io_executor executor, const Settings& settings,
                       const CacheReader& cache, NoticeSender& notices)
    : executor_(std::move(executor)),
      settings_(settings),
      cache_(cache),
      notices_(notices),
      failures_(notify_again_after, max_remembered_endpoints) {}

DsnService::~DsnService() = default;

void DsnService::start() {
    // Only what comes from now on can be about a question of a process that asks us.
    const MailLogPlace place{settings_.mail_log.journal, settings_.mail_log.file, {}};
    follower_ = open_mail_log(executor_, place, [this](std::string_view line) { take_line(line); });
    if (follower_) follower_->start();
}

void DsnService::stop() {
    if (follower_) follower_->stop();
}

std::unique_ptr<Session> DsnService::session(std::uint32_t pid, Connection& connection) {
    return std::make_unique<DsnSession>(*this, pid, connection);
}

void DsnService::greeted(std::uint32_t pid, const IpAddress& server) {
    join_.greeted(pid, server, Clock::now());
}

void DsnService::take_line(std::string_view text) {
    const auto line = parse_log_line(text);
    if (!line) return take_proxy_line(text);
    join_.line(*line, Clock::now());
    // Later, not now: a waiting session may be the one that polls the log.
    const auto [begin, end] = waiting_.equal_range(line->pid);
    for (auto it = begin; it != end; ++it)
        boost::asio::post(executor_, [connection = it->second->connection().weak_from_this()] {
            if (const auto alive = connection.lock()) alive->resume();
        });
}

// Its connections do not tell whose they are, but that somebody's next delivery is under way.
void DsnService::take_proxy_line(std::string_view text) {
    if (text.find("tlsproxy[") == text.npos) return;
    const auto line = parse_server_line(text);
    if (line && line->kind == ServerEventKind::proxy_connected && line->detail == "to")
        join_.proxy_connects(line->head.host, Clock::now());
}

void DsnService::answer(std::uint32_t pid, std::string_view key, const DsnQuestion& question,
                        const std::optional<LoggedPeer>& peer, std::string& out) {
    if (!peer) return leave_alone(pid, key, out);
    const auto decided = answer_dsn(key, question, *peer, cache_, wall_now(), settings_.cache.age);
    if (decided.notice) {
        const auto place = to_string(decided.notice->endpoint);
        if (failures_.allow(place, Clock::now()) && !notices_.send(*decided.notice))
            failures_.retract(place);  // the prober is down: the next deferral may tell it
    }
    if (!decided.text) return leave_alone(pid, key, out);
    join_.answered(pid, *decided.text, Clock::now());
    append_found(out, *decided.text);
}

void DsnService::leave_alone(std::uint32_t pid, std::string_view key, std::string& out) {
    join_.answered(pid, key, Clock::now());
    append_not_found(out);
}

}  // namespace postfathom
