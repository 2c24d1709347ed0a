// SPDX-License-Identifier: Apache-2.0
#include "probes/events.hpp"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "lib/net/deadline.hpp"

namespace postfathom {

boost::asio::awaitable<std::string> EventReader::next(std::chrono::steady_clock::duration limit) {
    if (waiting_.empty() && !too_slow_) {
        arrived_.expires_after(limit);
        co_await arrived_.async_wait(use_result);
    }
    co_return std::exchange(waiting_, {});
}

void EventReader::add(const std::string& line) {
    if (waiting_.size() + line.size() + 1 > max_waiting_bytes) {
        too_slow_ = true;
    } else if (!too_slow_) {
        waiting_ += line;
        waiting_ += '\n';
    }
    arrived_.cancel();
}

std::shared_ptr<EventReader> Events::subscribe() {
    auto reader = std::make_shared<EventReader>(executor_);
    std::erase_if(readers_, [](const auto& gone) { return gone.expired(); });
    readers_.push_back(reader);
    return reader;
}

void Events::publish(const boost::json::object& event) {
    std::erase_if(readers_, [](const auto& gone) { return gone.expired(); });
    if (readers_.empty()) return;
    const auto line = boost::json::serialize(event);
    for (const auto& entry : readers_)
        if (const auto reader = entry.lock()) reader->add(line);
}

std::size_t Events::readers() const {
    return static_cast<std::size_t>(std::count_if(
        readers_.begin(), readers_.end(), [](const auto& reader) { return !reader.expired(); }));
}

}  // namespace postfathom
