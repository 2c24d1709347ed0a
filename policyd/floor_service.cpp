// SPDX-License-Identifier: Apache-2.0
#include "policyd/floor_service.hpp"

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "policyd/floor_tables.hpp"
#include "policyd/socketmap.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;

constexpr auto log_again_after = 1h;
constexpr std::size_t max_remembered_keys = 20'000;
constexpr auto hold_for = 10s;
constexpr std::size_t max_held = 4096;

class FloorSession : public Session {
  public:
    FloorSession(FloorService& service, std::uint32_t pid) : service_(service), pid_(pid) {}

    Next feed(std::string_view& bytes, std::string& out) override {
        while (!bytes.empty()) {
            const auto status = parser_.feed(bytes);
            if (status == SocketmapParser::Status::broken) {
                log::warning("tables socket: {}; closing that connection", parser_.error());
                return Next::close;
            }
            if (status != SocketmapParser::Status::complete) continue;
            const auto key = parser_.overlong() ? std::string_view() : parser_.key();
            service_.answer(pid_, parser_.name(), key, out);
        }
        return Next::read;
    }
    Next resume(std::string&) override { return Next::read; }
    bool mid_request() const override { return parser_.mid_request(); }

  private:
    FloorService& service_;
    std::uint32_t pid_;
    SocketmapParser parser_;
};

}  // namespace

FloorService::FloorService(const Settings& settings, const CacheReader& cache)
    : settings_(settings), cache_(cache), logged_(log_again_after, max_remembered_keys) {}

void FloorService::answer(std::uint32_t pid, std::string_view name, std::string_view key,
                          std::string& out) {
    if (name == "ehlo" && greeted_)
        if (const auto server = IpAddress::parse(key)) greeted_(pid, *server);
    const auto now = wall_now();
    const auto& tables = settings_.tables;
    const auto& age = settings_.cache.age;
    std::string text;
    if (name == "tls") {
        if (const auto level = level_for(key)) text = to_string(level->level());
    } else if (name == "ehlo" && discards_pipelining(key, cache_, tables, now, age)) {
        text = "pipelining";
    }
    if (text.empty()) return append_not_found(out);
    const auto subject = printable(key);
    if (logged_.allow(subject, std::chrono::steady_clock::now()))
        log::info("{}: table {} answers \"{}\" while its path is ill", subject, printable(name),
                  text);
    append_found(out, text);
}

std::optional<SuggestedLevel> FloorService::level_for(std::string_view key) {
    const auto verdict = cache_.verdict(key);
    if (verdict && !ill(*verdict)) return std::nullopt;  // nearly always, and at once
    const auto now = std::chrono::steady_clock::now();
    const auto floor = settings_.tls.floor;
    // No level that was decided on another floor is ever given.
    if (floor != held_floor_ || held_.size() >= max_held) held_.clear();
    held_floor_ = floor;
    auto& held = held_[std::string(key)];
    if (held.until <= now)
        held = {answer_tls(key, cache_, settings_.tables, floor, wall_now(), settings_.cache.age),
                now + hold_for};
    return held.level;
}

std::unique_ptr<Session> FloorService::session(std::uint32_t pid) {
    return std::make_unique<FloorSession>(*this, pid);
}

}  // namespace postfathom
