// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/follower.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>

#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/result.hpp"
#include "lib/mail_log/lines.hpp"

namespace postfathom {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t chunk_bytes = 16 * 1024;
// So much at most before other work of the loop gets its turn.
constexpr std::size_t bytes_per_turn = 256 * 1024;
// After the rename a syslog daemon writes to the old file until it is told to reopen.
constexpr auto keep_previous = 60s;

// One open file: where we are in it, and the line that has no newline yet.
class OpenFile {
  public:
    OpenFile(Descriptor file, const struct stat& status)
        : file_(std::move(file)), device_(status.st_dev), inode_(status.st_ino) {}

    bool same_as(const struct stat& status) const {
        return status.st_dev == device_ && status.st_ino == inode_;
    }
    int number() const { return file_.get(); }
    Clock::time_point last_growth() const { return last_growth_; }

    // To the start of the line that is last now, so that a half-written one is not lost.
    void seek_to_last_line() {
        struct stat status{};
        if (::fstat(file_.get(), &status) != 0) return;
        std::array<char, max_log_line_bytes> tail{};
        const auto begin = std::max<off_t>(0, status.st_size - static_cast<off_t>(tail.size()));
        const auto count = ::pread(file_.get(), tail.data(), tail.size(), begin);
        offset_ = status.st_size;
        if (count <= 0) return;
        const std::string_view text(tail.data(), static_cast<std::size_t>(count));
        const auto newline = text.rfind('\n');
        if (newline == text.npos && begin > 0) {
            skipping_ = true;  // in the middle of an overlong line
        } else {
            offset_ = begin + (newline == text.npos ? 0 : static_cast<off_t>(newline) + 1);
        }
    }

    // Reads one piece and reports the lines in it; the number of bytes that were read.
    std::size_t read(const std::function<void(std::string_view)>& on_line) {
        start_over_when_truncated();
        std::array<char, chunk_bytes> chunk;
        const auto count = ::pread(file_.get(), chunk.data(), chunk.size(), offset_);
        if (count <= 0) return 0;
        offset_ += count;
        last_growth_ = Clock::now();
        const auto bytes = static_cast<std::size_t>(count);
        report_lines(std::string_view(chunk.data(), bytes), on_line);
        return bytes;
    }

  private:
    // logrotate's copytruncate, and `: > file`.
    void start_over_when_truncated() {
        struct stat status{};
        if (::fstat(file_.get(), &status) != 0 || status.st_size >= offset_) return;
        offset_ = 0;
        partial_.clear();
        skipping_ = false;
    }

    void report_lines(std::string_view text, const std::function<void(std::string_view)>& on_line) {
        while (!text.empty()) {
            const auto newline = text.find('\n');
            const auto piece = text.substr(0, newline);
            if (newline != text.npos && partial_.empty() && !skipping_) {
                on_line(piece.substr(0, max_log_line_bytes));
            } else {
                if (!skipping_) partial_ += piece.substr(0, max_log_line_bytes - partial_.size());
                if (newline != text.npos) {
                    if (!skipping_) on_line(partial_);
                    partial_.clear();
                    skipping_ = false;
                }
            }
            if (newline == text.npos) return;
            text.remove_prefix(newline + 1);
        }
    }

    Descriptor file_;
    dev_t device_;
    ino_t inode_;
    off_t offset_ = 0;
    std::string partial_;    // at most max_log_line_bytes
    bool skipping_ = false;  // until the next newline
    Clock::time_point last_growth_ = Clock::now();
};

}  // namespace

struct LogFollower::State : std::enable_shared_from_this<State> {
    State(asio::any_io_executor executor, std::string file,
          std::function<void(std::string_view)> report)
        : path(std::move(file)),
          directory(std::filesystem::path(path).parent_path().string()),
          sink(std::move(report)),
          on_line([this](std::string_view line) {
              if (running) sink(line);
          }),
          notifications(executor),
          timer(executor) {
        if (directory.empty()) directory.assign(1, '.');  // = "." warns: GCC bug 105329
    }

    std::string path;
    std::string directory;
    std::function<void(std::string_view)> sink;
    std::function<void(std::string_view)> on_line;  // sink, until stop()
    asio::posix::stream_descriptor notifications;
    asio::steady_timer timer;
    alignas(inotify_event) std::array<char, 4096> events{};
    std::optional<OpenFile> current;
    std::optional<OpenFile> previous;  // renamed, and perhaps still written to
    bool running = false;
    bool reading = false;  // on_line may ask for poll()
    bool turn_posted = false;
    bool complained = false;
    // What is in the file before we first open it is old, unless the file appeared later.
    bool from_the_start = false;

    void start() {
        running = true;
        const int number = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (number >= 0) {
            notifications.assign(number);
            wait_for_notifications();
        } else {
            log::warning("{}: {}; new lines are looked for once a second", path,
                         errno_error(errno, "inotify").message);
        }
        turn();
        wait_for_tick();
    }

    void stop() {
        running = false;
        boost::system::error_code ignored;
        notifications.close(ignored);
        timer.cancel();
        if (!reading) release();
    }

    void release() {
        current.reset();
        previous.reset();
    }

    void watch(const std::string& what, std::uint32_t mask) {
        if (notifications.is_open())
            ::inotify_add_watch(notifications.native_handle(), what.c_str(), mask);
    }

    void wait_for_notifications() {
        notifications.async_read_some(
            asio::buffer(events),
            [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                if (error || !self->running) return;
                // Which file it was matters little: a look costs two system calls.
                self->turn();
                self->wait_for_notifications();
            });
    }

    void wait_for_tick() {
        timer.expires_after(1s);
        timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (error || !self->running) return;
            self->turn();
            self->wait_for_tick();
        });
    }

    // Reads within the bound, and comes back after other work when there is more.
    void turn() {
        if (!running || read_some() < bytes_per_turn || turn_posted) return;
        turn_posted = true;
        asio::post(timer.get_executor(), [self = shared_from_this()] {
            self->turn_posted = false;
            self->turn();
        });
    }

    std::size_t read_some() {
        if (reading || !running) return 0;
        reading = true;
        follow_rotation();
        std::size_t total = 0;
        // The older file first, so that lines stay in their order.
        for (auto* file : {&previous, &current}) {
            while (running && *file && total < bytes_per_turn) {
                const auto bytes = (*file)->read(on_line);
                if (bytes == 0) break;
                total += bytes;
            }
        }
        if (previous && Clock::now() - previous->last_growth() > keep_previous) previous.reset();
        reading = false;
        if (!running) release();
        return total;
    }

    void follow_rotation() {
        struct stat status{};
        const bool there = ::stat(path.c_str(), &status) == 0;
        if (there && current && current->same_as(status)) return;
        if (!there && current) return;  // renamed; the new one is not there yet
        if (!there) {
            const int reason = errno;
            from_the_start |= reason == ENOENT;
            return complain(errno_error(reason, path).message);
        }
        if (!S_ISREG(status.st_mode)) {
            from_the_start = true;
            return complain(path + ": not a regular file");
        }

        Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        if (!file) return complain(errno_error(errno, "open " + path).message);
        if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
        if (current) previous = std::move(current);
        current.emplace(std::move(file), status);
        if (!from_the_start) current->seek_to_last_line();
        from_the_start = true;
        // By descriptor: the path may name another file by now.
        watch(fmt::format("/proc/self/fd/{}", current->number()), IN_MODIFY);
        watch(directory, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
        if (complained) log::info("{}: can be read again and is followed", path);
        complained = false;
    }

    void complain(const std::string& what) {
        watch(directory, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
        if (complained) return;
        complained = true;
        log::warning(
            "{}; without the mail log failures are found later and some deferrals stay without "
            "their diagnosis; check mail_log.file and that our group may read it (looking again "
            "every second)",
            what);
    }
};

LogFollower::LogFollower(asio::any_io_executor executor, std::string path,
                         std::function<void(std::string_view line)> on_line)
    : state_(std::make_shared<State>(std::move(executor), std::move(path), std::move(on_line))) {}

LogFollower::~LogFollower() { stop(); }

void LogFollower::start() {
    if (!state_->running) state_->start();
}

void LogFollower::stop() {
    if (state_->running) state_->stop();
}

void LogFollower::poll() {
    const auto state = state_;  // on_line may destroy us
    state->turn();
}

}  // namespace postfathom
