// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <fstream>
#include <optional>
#include <vector>

#include "lib/base/at_end.hpp"
#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/program.hpp"
#include "lib/base/result.hpp"
#include "lib/base/units.hpp"
#include "lib/mail_log/journal_entry.hpp"
#include "lib/mail_log/position.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto shortest_pause = 1s;
constexpr auto longest_pause = 60s;
constexpr auto stays = 60s;  // who ran so long is no failure

struct Program {
    pid_t pid = -1;
    Descriptor output;
};

// What is to be read: behind `cursor`, or from `since` (seconds since 1970) on, or only what is
// new.
struct Begin {
    std::string cursor;
    std::optional<std::int64_t> since;
};

// The first line of machine-id(5).
std::string machine_id() {
    std::ifstream file("/etc/machine-id");
    std::string id;
    std::getline(file, id);
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return id.size() == 32 && std::all_of(id.begin(), id.end(), is_hex) ? id : std::string{};
}

Result<Program> run_journalctl(const Begin& begin) {
    // With --follow alone it shows this boot's lines, and takes the kernel's word for which that
    // is: in a container of systemd-nspawn, /proc of a unit with ProtectProc= has the boot of the
    // host, and nothing would be shown. --merge shows all, those of other machines too, which stay
    // out.
    std::vector<std::string> words{
        "journalctl",
        "--follow",
        "--merge",
        "--quiet",
        "--no-pager",
        "--output=json",
        "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,SYSLOG_RAW,_PID,_UID,_HOSTNAME"};
    // journalctl takes one of the two.
    if (begin.since)
        words.push_back(fmt::format("--since=@{}", *begin.since));
    else if (!begin.cursor.empty())
        words.push_back("--after-cursor=" + begin.cursor);
    // All of them, not the last ten.
    words.emplace_back(begin.since || !begin.cursor.empty() ? "--no-tail" : "--lines=0");
    words.emplace_back("SYSLOG_FACILITY=2");  // LOG_MAIL
    if (const auto id = machine_id(); !id.empty()) words.push_back("_MACHINE_ID=" + id);

    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return tl::make_unexpected(errno_error(errno, "pipe"));
    Program program{-1, Descriptor(ends[0])};
    const Descriptor input(ends[1]);
    const auto pid = start_program(words, input.get());
    if (!pid) return tl::make_unexpected(pid.error());
    program.pid = *pid;
    ::fcntl(program.output.get(), F_SETFL, O_NONBLOCK);
    return program;
}

std::string how_it_ended(int status) {
    if (WIFEXITED(status)) return fmt::format("ended with status {}", WEXITSTATUS(status));
    return fmt::format("was ended by signal {}", WTERMSIG(status));
}

}  // namespace

struct JournalFollower::State : std::enable_shared_from_this<State> {
    State(const asio::any_io_executor& executor, OnLine report, std::string position,
          const Limits& most)
        : sink(std::move(report)),
          position_file(std::move(position)),
          limits(most),
          output(executor),
          again(executor),
          save_timer(executor) {}

    OnLine sink;
    std::string position_file;
    Limits limits;
    std::uint64_t bytes_of_past = 0;      // since journalctl was started, until the past is read
    std::chrono::microseconds present{};  // at its start
    asio::posix::stream_descriptor output;
    asio::steady_timer again;
    asio::steady_timer save_timer;
    pid_t pid = -1;
    std::string partial;     // of an entry; at most max_journal_entry_bytes
    bool skipping = false;   // until the next newline
    std::string cursor;      // of the last entry that was reported
    std::string saved;       // what the position file holds
    bool new_entry = false;  // since journalctl was started
    bool running = false;
    bool reading = false;
    bool complained = false;
    Clock::time_point started_at{};
    Clock::duration pause = shortest_pause;

    void start() {
        running = true;
        if (!position_file.empty() && cursor.empty()) {
            const auto text = read_small_file(position_file).value_or("");
            std::string_view word = trimmed(text);
            if (is_cursor(word)) cursor = word;
            saved = cursor;
        }
        run();
        save_by_the_clock();
    }

    static std::string_view trimmed(std::string_view text) {
        return text.substr(0, text.find('\n'));
    }

    void stop() {
        running = false;
        again.cancel();
        save_timer.cancel();
        save_position();
        end_program();
    }

    void save_by_the_clock() {
        if (position_file.empty()) return;
        save_timer.expires_after(save_position_every);
        save_timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (error || !self->running) return;
            self->save_position();
            self->save_by_the_clock();
        });
    }

    void save_position() {
        if (position_file.empty() || cursor == saved) return;
        if (const auto done = replace_file(position_file, cursor + "\n"); !done)
            log::warning("{}; lines written while we are not running will not be read",
                         done.error().message);
        saved = cursor;
    }

    void run() {
        started_at = Clock::now();
        new_entry = false;
        bytes_of_past = 0;
        present = std::chrono::duration_cast<std::chrono::microseconds>(
            std::chrono::system_clock::now().time_since_epoch());
        auto program = run_journalctl(begin());
        if (!program) return run_later(program.error().message);
        pid = program->pid;
        output.assign(program->output.release());
        wait_for_output();
    }

    Begin begin() const {
        const auto earliest = present - limits.past;
        const auto last = time_of_cursor(cursor);
        if (cursor.empty() || !last || *last >= earliest) return {cursor, std::nullopt};
        const auto wall = [](std::chrono::microseconds time) {
            return to_rfc3339(WallTime(std::chrono::duration_cast<WallTime::duration>(time)));
        };
        log::info("the journal was last read at {}; what is older than {} is left out", wall(*last),
                  wall(earliest));
        return {cursor, std::chrono::duration_cast<std::chrono::seconds>(earliest).count()};
    }

    // Too much of the past: the rest of it is left out.
    void skip_to_present() {
        log::info(
            "the journal holds more than {} bytes from before our start; the rest of them is "
            "not read",
            limits.bytes);
        end_program();
        cursor.clear();
        run();
    }

    void run_later(const std::string& what) {
        if (Clock::now() - started_at > stays) {
            pause = shortest_pause;
            complained = false;
        }
        if (!complained) {
            complained = true;
            log::warning(
                "{}; without the mail log failures are found later and some deferrals stay "
                "without their diagnosis; check that our user may read the journal (group "
                "systemd-journal); it is started again, at least once a minute",
                what);
        }
        again.expires_after(pause);
        pause = std::min<Clock::duration>(2 * pause, longest_pause);
        again.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (!error && self->running) self->run();
        });
    }

    // Its status. It holds nothing that could be lost, so that it need not be asked kindly.
    int end_program() {
        boost::system::error_code ignored;
        output.close(ignored);
        partial.clear();
        skipping = false;
        int status = 0;
        if (pid > 0) {
            // One that ended by itself keeps the status it ended with.
            ::kill(pid, SIGKILL);
            while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
            }
        }
        pid = -1;
        return status;
    }

    void wait_for_output() {
        output.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](boost::system::error_code error) {
                              if (error || !self->running) return;
                              if (self->read_some()) self->wait_for_output();
                          });
    }

    // False when journalctl ended.
    bool read_some() {
        if (reading || !output.is_open()) return true;
        const bool open = read_within_bound();
        // An entry may have led to our end, and that of the program.
        if (!running) return true;
        if (bytes_of_past > limits.bytes) {
            skip_to_present();
            return false;
        }
        if (open) return true;
        ended();
        return false;
    }

    // False at the end of what journalctl writes. Out of memory, the sink may throw.
    bool read_within_bound() {
        reading = true;
        const AtEnd done([this] { reading = false; });
        std::array<char, log_chunk_bytes> chunk{};
        bool open = true;
        std::size_t total = 0;
        while (running && open && total < log_bytes_per_turn && bytes_of_past <= limits.bytes) {
            const auto count = ::read(output.native_handle(), chunk.data(), chunk.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) break;  // EAGAIN: nothing more now
            open = count > 0;
            total += static_cast<std::size_t>(count);
            take({chunk.data(), static_cast<std::size_t>(count)});
        }
        return open;
    }

    void ended() {
        const bool used_cursor = !cursor.empty() && !new_entry;
        const int status = end_program();
        // An entry that a cleaned or replaced journal does not know any more.
        if (used_cursor && WIFEXITED(status) && WEXITSTATUS(status) != 0) cursor.clear();
        run_later("journalctl " + how_it_ended(status));
    }

    // An entry for which there is no memory is lost, and not those behind it, which are read.
    void take(std::string_view text) {
        std::exception_ptr trouble;
        while (running && !text.empty()) {
            const auto newline = text.find('\n');
            const auto piece = text.substr(0, newline);
            const bool ends = newline != text.npos;
            text.remove_prefix(ends ? newline + 1 : text.size());
            try {
                take_piece(piece, ends);
            } catch (...) {
                trouble = std::current_exception();
                skipping = true;
            }
            if (!ends) continue;
            partial.clear();
            skipping = false;
        }
        if (trouble) std::rethrow_exception(trouble);
    }

    void take_piece(std::string_view piece, bool ends) {
        if (partial.size() + piece.size() > max_journal_entry_bytes) skipping = true;
        if (skipping)
            partial.clear();
        else
            partial += piece;
        if (ends && !skipping) report();
    }

    void report() {
        const auto entry = parse_journal_entry(partial);
        if (!entry) return;
        // One without a time in its cursor counts as present.
        if (time_of_cursor(entry->cursor).value_or(present) < present)
            bytes_of_past += partial.size();
        new_entry = true;
        if (complained) log::info("the journal can be read again and is followed");
        complained = false;
        pause = shortest_pause;
        if (!entry->cursor.empty()) cursor = entry->cursor;
        sink(std::string_view(entry->line).substr(0, max_log_line_bytes));
    }
};

JournalFollower::JournalFollower(const asio::any_io_executor& executor, OnLine on_line,
                                 std::string position_file)
    : JournalFollower(executor, std::move(on_line), std::move(position_file), Limits{}) {}

JournalFollower::JournalFollower(const asio::any_io_executor& executor, OnLine on_line,
                                 std::string position_file, const Limits& limits)
    : state_(std::make_shared<State>(executor, std::move(on_line), std::move(position_file),
                                     limits)) {}

JournalFollower::~JournalFollower() {
    if (state_->running) state_->stop();
}

void JournalFollower::start() {
    if (!state_->running) state_->start();
}

void JournalFollower::stop() {
    if (state_->running) state_->stop();
}

void JournalFollower::poll() {
    const auto state = state_;  // on_line may destroy us
    if (state->running) state->read_some();
}

}  // namespace postfathom
