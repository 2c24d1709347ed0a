// SPDX-License-Identifier: Apache-2.0
// Ends the process when its event loop hangs. A dead policyd costs mail nothing; one that holds its
// sockets open and does not answer keeps each delivery process for the 100 s that Postfix waits for
// a socketmap (dict_sockmap.c, DICT_SOCKMAP_DEF_TIMEOUT). Tells the service manager that the loop
// moves, too.
#pragma once

#include <sysexits.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace postfathom {

class Watchdog {
  public:
    static constexpr int exit_status = EX_SOFTWARE;
    // Ticks of the watching thread itself, so that time in which the whole process stood still (a
    // suspended machine, SIGSTOP) does not count.
    static constexpr int ticks_until_hung = 5;

    Watchdog(boost::asio::io_context& io, std::chrono::milliseconds tick = std::chrono::seconds{1});
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    // Lets the loop run out of work.
    void stop();

  private:
    void beat();
    void watch();

    const std::chrono::milliseconds tick_;
    const bool manager_watches_;
    boost::asio::steady_timer timer_;
    std::atomic<std::uint64_t> beats_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopped_ = false;  // under mutex_
    std::thread watcher_;
};

}  // namespace postfathom
