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
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/result.hpp"
#include "lib/mail_log/open_log.hpp"
#include "lib/mail_log/position.hpp"

namespace postfathom {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// So much at most before other work of the loop gets its turn.
constexpr std::size_t bytes_per_turn = 256 * 1024;
// After the rename a syslog daemon writes to the old file until it is told to reopen.
constexpr auto keep_previous = 60s;
// After the end of a process that could not write its position, so much is read a second time.
constexpr auto save_every = 10s;
constexpr std::size_t most_neighbours = 10'000;  // files of the directory that are looked at

// The file that had this position, wherever it was renamed to in `directory`.
std::optional<OpenLog> find_renamed(const std::string& directory, const std::string& name,
                                    const FilePosition& position) {
    std::error_code error;
    std::size_t seen = 0;
    for (std::filesystem::directory_iterator it(directory, error), end;
         !error && it != end && seen < most_neighbours; it.increment(error), ++seen) {
        const auto path = it->path().string();
        struct stat status{};
        if (!it->path().filename().string().starts_with(name) ||
            ::stat(path.c_str(), &status) != 0 || status.st_ino != position.inode ||
            status.st_dev != position.device || !S_ISREG(status.st_mode))
            continue;
        Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        if (!file || ::fstat(file.get(), &status) != 0) continue;
        OpenLog log(std::move(file), status);
        if (log.same_as(position)) return log;
    }
    return std::nullopt;
}

}  // namespace

struct LogFollower::State : std::enable_shared_from_this<State> {
    State(asio::any_io_executor executor, std::string file, OnLine report, std::string position)
        : path(std::move(file)),
          directory(std::filesystem::path(path).parent_path().string()),
          position_file(std::move(position)),
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
    std::string position_file;  // empty: none is kept
    OnLine sink;
    OnLine on_line;  // sink, until stop()
    asio::posix::stream_descriptor notifications;
    asio::steady_timer timer;
    alignas(inotify_event) std::array<char, 4096> events{};
    std::optional<OpenLog> current;
    std::optional<OpenLog> previous;  // renamed, and perhaps still written to
    bool running = false;
    bool reading = false;  // on_line may ask for poll()
    bool turn_posted = false;
    bool complained = false;
    // What is in the file before we first open it is old, unless the file appeared later.
    bool from_the_start = false;
    std::vector<FilePosition> resume_at;  // from an earlier process, until the file is open
    std::string saved;                    // what the position file holds
    Clock::time_point saved_at{};
    bool complained_of_position = false;

    void start() {
        running = true;
        if (!position_file.empty() && !current)
            resume_at = decode_positions(read_small_file(position_file).value_or(""));
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
        save_position();
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
            if (Clock::now() - self->saved_at >= save_every) self->save_position();
            self->wait_for_tick();
        });
    }

    void save_position() {
        if (position_file.empty() || !current) return;
        std::vector<FilePosition> positions;
        if (previous) positions.push_back(previous->position());
        positions.push_back(current->position());
        auto text = encode_positions(positions);
        if (text == saved) return;
        saved_at = Clock::now();
        if (const auto done = replace_file(position_file, text); done) {
            saved = std::move(text);
        } else if (!complained_of_position) {
            complained_of_position = true;
            log::warning("{}; lines written while we are not running will not be read",
                         done.error().message);
        }
    }

    // `current` was opened for the first time. It may be another file than the one that an earlier
    // process read last, which was renamed then.
    void resume() {
        const auto name = std::filesystem::path(path).filename().string();
        bool known = false;
        for (const auto& position : resume_at) {
            if (current->same_as(position)) {
                known = true;
                current->seek_to(position);
            } else if (auto renamed = find_renamed(directory, name, position)) {
                previous = std::move(renamed);
                previous->seek_to(position);
            }
        }
        if (!known) current->seek_to_start();
        resume_at.clear();
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
        if (!resume_at.empty())
            resume();
        else if (!from_the_start)
            current->seek_to_last_line();
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

LogFollower::LogFollower(asio::any_io_executor executor, std::string path, OnLine on_line,
                         std::string position_file)
    : state_(std::make_shared<State>(std::move(executor), std::move(path), std::move(on_line),
                                     std::move(position_file))) {}

LogFollower::~LogFollower() {
    if (state_->running) state_->stop();
}

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
