// SPDX-License-Identifier: Apache-2.0
// A process of a benchmark's own, whose processor time can be told from that of the others.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace postfathom::bench {

// Processor time that a process used so far, in seconds; 0: this one.
inline double processor_seconds(pid_t process = 0) {
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    timespec time{};
    if ((process != 0 && ::clock_getcpuclockid(process, &clock) != 0) ||
        ::clock_gettime(clock, &time) != 0)
        return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

class Child {
  public:
    // `work` returns the exit status, or never.
    template <typename Work>
    explicit Child(Work work) : process_(::fork()) {
        if (process_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(work());
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (process_ <= 0) return;
        ::kill(process_, SIGTERM);
        ::waitpid(process_, nullptr, 0);
    }

    pid_t process() const { return process_; }
    double used() const { return process_ > 0 ? processor_seconds(process_) : 0; }

    // Its exit status, when it has ended by itself; -1: it was killed.
    int wait() {
        int status = 0;
        if (::waitpid(process_, &status, 0) != process_) status = -1;
        process_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

  private:
    pid_t process_;
};

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace postfathom::bench
