// SPDX-License-Identifier: Apache-2.0
#include "policyd/watchdog.hpp"

#include <unistd.h>

#include <csignal>

#include "lib/base/log.hpp"
#include "lib/net/service_manager.hpp"

namespace postfathom {

Watchdog::Watchdog(boost::asio::io_context& io, std::chrono::milliseconds tick)
    : tick_(tick), manager_watches_(watchdog_interval().has_value()), timer_(io) {
    beat();
    watcher_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
    stop();
    watcher_.join();
}

void Watchdog::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    wake_.notify_all();
    timer_.cancel();
}

void Watchdog::beat() {
    ++beats_;
    if (manager_watches_) tell_alive();
    {
        // Cancelling misses a timer whose handler is already on its way.
        const std::lock_guard lock(mutex_);
        if (stopped_) return;
    }
    timer_.expires_after(tick_);
    timer_.async_wait([this](boost::system::error_code error) {
        if (!error) beat();
    });
}

void Watchdog::watch() {
    std::uint64_t seen = 0;
    int without = 0;
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, tick_, [this] { return stopped_; })) {
        const auto now = beats_.load();
        without = now == seen ? without + 1 : 0;
        seen = now;
        if (without < ticks_until_hung) continue;
        // What the loop hangs in may be the log: then nobody comes back from it.
        std::signal(SIGALRM, SIG_DFL);
        ::alarm(1);
        log::error("the event loop has not moved for {} ms; ending, so that Postfix need not wait",
                   (tick_ * ticks_until_hung).count());
        ::_exit(exit_status);
    }
}

}  // namespace postfathom
