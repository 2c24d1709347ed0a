// SPDX-License-Identifier: Apache-2.0
// How many callbacks run right now, in libmilter's threads, and whether one of them hangs. Nothing
// here waits.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace postfathom {

class RunningCallbacks {
  public:
    // A callback that is there for so many turns hangs: none waits for anything but a lock that is
    // held for a moment.
    static constexpr std::size_t turns_until_hung = 4;

    // Gives what end() takes.
    std::size_t begin() {
        ++all_;
        const auto turn = turn_.load() % turns_until_hung;
        ++begun_in_[turn];
        return turn;
    }
    void end(std::size_t turn) {
        --begun_in_[turn];
        --all_;
    }
    int count() const { return all_; }

    // To be called by one thread, every second or two. It counts its own calls, so that time in
    // which the whole process stood still does not. False while a callback hangs.
    bool next_turn() {
        const auto next = (turn_.load() + 1) % turns_until_hung;
        if (begun_in_[next] > 0) return false;
        turn_ = next;
        return true;
    }

  private:
    std::atomic<int> all_{0};
    std::atomic<std::size_t> turn_{0};
    std::array<std::atomic<int>, turns_until_hung> begun_in_{};
};

}  // namespace postfathom
