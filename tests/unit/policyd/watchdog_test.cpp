// SPDX-License-Identifier: Apache-2.0
#include "policyd/watchdog.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

// The exit status of a process that runs `work` under a watchdog.
template <typename Work>
int status_of(Work work) {
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        boost::asio::io_context io(1);
        {
            Watchdog watchdog(io, 20ms);
            work(io, watchdog);
        }
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a loop that hangs ends the process, one that runs does not") {
    CHECK(status_of([](boost::asio::io_context& io, Watchdog&) {
              boost::asio::post(io, [] { ::pause(); });
              io.run();
          }) == Watchdog::exit_status);
    CHECK(status_of([](boost::asio::io_context& io, Watchdog& watchdog) {
              // Longer than a hang would be given.
              boost::asio::steady_timer timer(io, 3 * Watchdog::ticks_until_hung * 20ms);
              timer.async_wait([&](boost::system::error_code) { watchdog.stop(); });
              io.run();
          }) == 0);
}
