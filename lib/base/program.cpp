// SPDX-License-Identifier: Apache-2.0
#include "lib/base/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "lib/base/descriptor.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t max_error_bytes = 4096;

struct Pipe {
    Descriptor read;
    Descriptor write;
};

Result<Pipe> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return tl::make_unexpected(errno_error(errno, "pipe"));
    return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// Reads both streams until they end or a limit is met; true: a limit was.
class Reading {
  public:
    Reading(Descriptor output, Descriptor error, const ProgramLimits& limits)
        : output_(std::move(output)), error_(std::move(error)), left_(limits.output) {}

    bool until(Clock::time_point end, const std::function<void(std::string_view)>& on_output,
               std::string& error_text) {
        while (output_ || error_) {
            std::array<pollfd, 2> waiting{{{output_.get(), POLLIN, 0}, {error_.get(), POLLIN, 0}}};
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
            if (left <= 0) return true;
            const int ready = ::poll(waiting.data(), waiting.size(),
                                     static_cast<int>(std::min<std::int64_t>(left, 60'000)));
            if (ready < 0 && errno != EINTR) return true;
            if (ready <= 0) continue;
            if (waiting[0].revents != 0 && !take(output_, [&](std::string_view piece) {
                    on_output(piece.substr(0, left_));
                    left_ -= std::min(left_, piece.size());
                }))
                output_.reset();
            if (waiting[1].revents != 0 && !take(error_, [&](std::string_view piece) {
                    error_text += piece.substr(0, max_error_bytes - error_text.size());
                }))
                error_.reset();
            if (left_ == 0) return true;
        }
        return false;
    }

  private:
    // False at the end of the stream.
    template <typename Use>
    static bool take(const Descriptor& from, Use use) {
        std::array<char, 65536> buffer;  // NOLINT: written before it is read
        const auto length = ::read(from.get(), buffer.data(), buffer.size());
        if (length > 0) use(std::string_view(buffer.data(), static_cast<std::size_t>(length)));
        return length > 0 || (length < 0 && (errno == EINTR || errno == EAGAIN));
    }

    Descriptor output_;
    Descriptor error_;
    std::size_t left_;
};

int shell_status(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<pid_t> start_program(const std::vector<std::string>& words, int output, int error) {
    std::vector<char*> arguments;
    // posix_spawn(3) takes char* const[] and changes none of them.
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (error != -1) ::posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    // LMDB opens its data without O_CLOEXEC.
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    // SIGPIPE that we ignore would be inherited: it is to end when nobody reads.
    sigset_t signals;
    sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes, &signals);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    pid_t pid = -1;
    const int failed =
        ::posix_spawnp(&pid, arguments.front(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed == 0) return pid;
    auto trouble = errno_error(failed, words.front());
    if (failed == ENOENT) trouble.code = ErrorCode::not_found;
    return tl::make_unexpected(std::move(trouble));
}

Result<ProgramEnd> run_program(const std::vector<std::string>& words, const ProgramLimits& limits,
                               const std::function<void(std::string_view)>& on_output) {
    const auto end = Clock::now() + limits.time;
    auto output = make_pipe();
    if (!output) return tl::make_unexpected(output.error());
    auto error = make_pipe();
    if (!error) return tl::make_unexpected(error.error());
    const auto pid = start_program(words, output->write.get(), error->write.get());
    if (!pid) return tl::make_unexpected(pid.error());
    output->write.reset();
    error->write.reset();
    ProgramEnd result;
    {
        Reading reading(std::move(output->read), std::move(error->read), limits);
        result.cut = reading.until(end, on_output, result.error);
    }
    // It only reads and prints: nothing is lost when it is not asked kindly.
    if (result.cut) ::kill(*pid, SIGKILL);
    int status = 0;
    while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    result.status = shell_status(status);
    return result;
}

}  // namespace postfathom
