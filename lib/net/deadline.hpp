// SPDX-License-Identifier: Apache-2.0
// Waiting with an end. Every wait on a peer has a deadline.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <utility>

namespace postfathom {

namespace asio = boost::asio;

// Results as values: co_await op(..., use_result) gives a tuple that starts with an error_code.
// Take the tuple, then look at its parts by reference.
inline constexpr auto use_result = asio::as_tuple(asio::use_awaitable);

inline asio::awaitable<void> pause(std::chrono::steady_clock::duration duration) {
    asio::steady_timer timer(co_await asio::this_coro::executor, duration);
    co_await timer.async_wait(use_result);
}

// The result of `work`, or nothing when `limit` passed first; `work` is then cancelled.
template <typename T>
asio::awaitable<std::optional<T>> with_deadline(std::chrono::steady_clock::duration limit,
                                                asio::awaitable<T> work) {
    using namespace asio::experimental::awaitable_operators;
    auto winner = co_await (std::move(work) || pause(limit));
    if (winner.index() == 0) co_return std::move(std::get<0>(winner));
    co_return std::nullopt;
}

}  // namespace postfathom
