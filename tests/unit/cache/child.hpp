// SPDX-License-Identifier: Apache-2.0
// A child process of a test: runs a function and is ended by its id, however the test ends.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace postfathom {

class Child {
  public:
    // `work` gets a descriptor to write to; what it returns is the exit status.
    template <typename Work>
    explicit Child(Work work) {
        int ends[2] = {-1, -1};
        if (::pipe(ends) != 0) return;
        process_ = ::fork();
        if (process_ == 0) {
            ::close(ends[0]);
            ::_exit(work(ends[1]));
        }
        ::close(ends[1]);
        from_child_ = ends[0];
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        kill();
        if (from_child_ >= 0) ::close(from_child_);
    }

    void kill() {
        if (process_ <= 0) return;
        ::kill(process_, SIGKILL);
        wait();
    }
    int wait() {
        int status = -1;
        if (process_ > 0) ::waitpid(std::exchange(process_, -1), &status, 0);
        return status;
    }
    // One byte, waited for at most `milliseconds`.
    bool wait_byte(int milliseconds = 20'000) const {
        pollfd wanted{from_child_, POLLIN, 0};
        char byte = 0;
        return ::poll(&wanted, 1, milliseconds) == 1 && ::read(from_child_, &byte, 1) == 1;
    }
    std::string drain() const {
        std::string all;
        char part[65536];
        for (ssize_t got = 0; (got = ::read(from_child_, part, sizeof part)) > 0;)
            all.append(part, static_cast<std::size_t>(got));
        return all;
    }

  private:
    pid_t process_ = -1;
    int from_child_ = -1;
};

}  // namespace postfathom
