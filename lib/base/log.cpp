// SPDX-License-Identifier: Apache-2.0
#include "lib/base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include <cstdlib>
#include <memory>

namespace postfathom::log {

namespace {

// The priority that the journal reads at the start of a line on stderr (sd-daemon(3)).
class JournalPriority : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&,
                spdlog::memory_buf_t& out) override {
        const char* prefix = message.level >= spdlog::level::err    ? "<3>"
                             : message.level >= spdlog::level::warn ? "<4>"
                             : message.level >= spdlog::level::info ? "<6>"
                                                                    : "<7>";
        out.append(prefix, prefix + 3);
    }
    std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<JournalPriority>();
    }
};

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warning:
            return spdlog::level::warn;
        case Level::error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> standard_error_logger(const std::string& program) {
    auto logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    // JOURNAL_STREAM is set by systemd when stderr leads to the journal, which adds time and name.
    if (std::getenv("JOURNAL_STREAM") != nullptr)
        formatter->add_flag<JournalPriority>('*').set_pattern("%*%v");
    else
        formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n: %l: %v");
    logger->set_formatter(std::move(formatter));
    return logger;
}

// Never destroyed: threads of libmilter may log while the program ends.
std::shared_ptr<spdlog::logger>& kept() {
    static auto& logger = *new std::shared_ptr<spdlog::logger>(standard_error_logger("postfathom"));
    return logger;
}

spdlog::logger& logger() { return *kept(); }

}  // namespace

void start(const std::string& program, Target target, Level level) {
    if (target == Target::syslog) {
        auto sink =
            std::make_shared<spdlog::sinks::syslog_sink_mt>(program, LOG_PID, LOG_MAIL, true);
        auto fresh = std::make_shared<spdlog::logger>(program, std::move(sink));
        fresh->set_pattern("%v");
        kept() = std::move(fresh);
    } else {
        kept() = standard_error_logger(program);
    }
    logger().flush_on(spdlog::level::debug);
    set_level(level);
}

void set_level(Level level) { logger().set_level(to_spdlog(level)); }

bool enabled(Level level) { return logger().should_log(to_spdlog(level)); }

void write(Level level, std::string_view line) {
    logger().log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace postfathom::log
