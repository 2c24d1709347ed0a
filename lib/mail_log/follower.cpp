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
#include <deque>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/at_end.hpp"
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

// After the rename a syslog daemon writes to the old file until it is told to reopen.
constexpr auto keep_previous = 60s;
constexpr std::size_t most_neighbours = 10'000;  // files of the directory that are looked at

constexpr std::size_t most_rotated = max_positions - 1;

struct Neighbour {
    std::string path;
    struct stat status{};
};

// Regular files of `directory` whose names begin like that of the log: what it may have been
// renamed to.
std::vector<Neighbour> neighbours(const std::string& directory, const std::string& name) {
    std::vector<Neighbour> found;
    std::error_code error;
    std::size_t seen = 0;
    for (std::filesystem::directory_iterator it(directory, error), end;
         !error && it != end && seen < most_neighbours; it.increment(error), ++seen) {
        if (!it->path().filename().string().starts_with(name)) continue;
        Neighbour neighbour{it->path().string()};
        if (::stat(neighbour.path.c_str(), &neighbour.status) == 0 &&
            S_ISREG(neighbour.status.st_mode))
            found.push_back(std::move(neighbour));
    }
    return found;
}

std::optional<OpenLog> open_neighbour(const Neighbour& neighbour) {
    Descriptor file(::open(neighbour.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0 || status.st_ino != neighbour.status.st_ino)
        return std::nullopt;
    return OpenLog(std::move(file), status);
}

bool earlier(const timespec& a, const timespec& b) {
    return std::pair(a.tv_sec, a.tv_nsec) < std::pair(b.tv_sec, b.tv_nsec);
}

// logrotate(8), savelog(8) and newsyslog(8): "mail.log.1", "mail.log-20261123"; compressed files
// end in letters.
bool is_rotated_name(std::string_view path, std::string_view log_path) {
    const auto slash = path.rfind('/');
    const auto begin = log_path.rfind('/');
    auto name = path.substr(slash == path.npos ? 0 : slash + 1);
    const auto log_name = log_path.substr(begin == log_path.npos ? 0 : begin + 1);
    if (!name.starts_with(log_name)) return false;
    name.remove_prefix(log_name.size());
    return name.size() > 1 && (name.front() == '.' || name.front() == '-') &&
           name.find_first_not_of("0123456789-.", 1) == name.npos;
}

}  // namespace

struct LogFollower::State : std::enable_shared_from_this<State> {
    State(const asio::any_io_executor& executor, std::string file, OnLine report,
          std::string position)
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
    std::deque<OpenLog> rotated;  // oldest first; the last one is perhaps still written to
    bool running = false;
    bool reading = false;  // on_line may ask for poll()
    bool turn_posted = false;
    bool complained = false;
    // What is in the file before we first open it is old, unless the file appeared later.
    bool from_the_start = false;
    std::vector<FilePosition> resume_at;  // from an earlier process, until the file is open
    timespec resume_from{};               // when that wrote it
    std::string saved;                    // what the position file holds
    Clock::time_point saved_at{};
    bool complained_of_position = false;

    void start() {
        running = true;
        if (!position_file.empty() && !current) {
            resume_at = decode_positions(read_small_file(position_file).value_or(""));
            struct stat status{};
            if (::stat(position_file.c_str(), &status) == 0) resume_from = status.st_mtim;
        }
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
        rotated.clear();
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
            if (Clock::now() - self->saved_at >= save_position_every) self->save_position();
            self->wait_for_tick();
        });
    }

    void save_position() {
        if (position_file.empty() || !current) return;
        std::vector<FilePosition> positions;
        for (const auto& file : rotated) positions.push_back(file.position());
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
        const auto near = neighbours(directory, std::filesystem::path(path).filename().string());
        bool known = false;
        auto read_until = resume_from;
        bool found_last = false;
        for (const auto& position : resume_at) {
            if (current->same_as(position)) {
                known = true;
                current->seek_to(position);
                continue;
            }
            const auto renamed = std::find_if(near.begin(), near.end(), [&](const auto& file) {
                return file.status.st_ino == position.inode &&
                       file.status.st_dev == position.device;
            });
            auto log = renamed != near.end() ? open_neighbour(*renamed) : std::nullopt;
            if (!log) continue;
            log->seek_to(position);
            rotated.push_back(std::move(*log));
            read_until = renamed->status.st_mtim;
            found_last = position == resume_at.back();
        }
        if (!known) {
            current->seek_to_start();
            resume_between(near, read_until);
            if (!found_last)
                log::info(
                    "{}: the file that was read last is not here any more; what was written "
                    "to its end is not read",
                    path);
        }
        resume_at.clear();
    }

    // Renamed more than once meanwhile: the files between the one that was read last and the
    // current one, the newest as far as the bound goes.
    void resume_between(std::vector<Neighbour> near, const timespec& read_until) {
        std::erase_if(near, [&](const Neighbour& file) {
            const auto same = [&](const OpenLog& log) { return log.same_as(file.status); };
            return !is_rotated_name(file.path, path) || !earlier(read_until, file.status.st_mtim) ||
                   current->same_as(file.status) ||
                   std::any_of(rotated.begin(), rotated.end(), same);
        });
        std::sort(near.begin(), near.end(), [](const Neighbour& a, const Neighbour& b) {
            return earlier(b.status.st_mtim, a.status.st_mtim);
        });
        std::vector<OpenLog> between;  // newest first
        off_t bytes = 0;
        for (const auto& file : near) {
            bytes += file.status.st_size;
            if (bytes > OpenLog::most_past || rotated.size() + between.size() >= most_rotated) {
                log::info("{}: older lines than those of the newest {} rotated files are not read",
                          path, between.size());
                break;
            }
            if (auto log = open_neighbour(file)) between.push_back(std::move(*log));
        }
        std::move(between.rbegin(), between.rend(), std::back_inserter(rotated));
    }

    // Reads within the bound, and comes back after other work when there is more.
    void turn() {
        if (!running || read_some() < log_bytes_per_turn || turn_posted) return;
        turn_posted = true;
        asio::post(timer.get_executor(), [self = shared_from_this()] {
            self->turn_posted = false;
            self->turn();
        });
    }

    std::size_t read_some() {
        if (reading || !running) return 0;
        const auto total = read_within_bound();
        if (!running) release();
        return total;
    }

    // Out of memory, on_line may throw.
    std::size_t read_within_bound() {
        reading = true;
        const AtEnd done([this] { reading = false; });
        follow_rotation();
        std::size_t total = 0;
        // The older file first, so that lines stay in their order.
        const auto read = [&](OpenLog& file) {
            while (running && total < log_bytes_per_turn) {
                const auto bytes = file.read(on_line);
                if (bytes == 0) break;
                total += bytes;
            }
        };
        for (auto& file : rotated) read(file);
        if (current) read(*current);
        if (total < log_bytes_per_turn)
            std::erase_if(rotated, [now = Clock::now()](const OpenLog& file) {
                return now - file.last_growth() > keep_previous;
            });
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
        if (current) rotated.push_back(std::move(*current));
        if (rotated.size() > most_rotated) rotated.pop_front();
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

LogFollower::LogFollower(const asio::any_io_executor& executor, std::string path, OnLine on_line,
                         std::string position_file)
    : state_(std::make_shared<State>(executor, std::move(path), std::move(on_line),
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
