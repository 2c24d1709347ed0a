// SPDX-License-Identifier: Apache-2.0
#include "probes/probe_budget.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

namespace postfathom {

namespace {

// Probes of one server within a window; more are counted with the one before.
constexpr std::size_t max_bookings = 32;

std::uint32_t rest(std::uint32_t limit, std::uint64_t used) {
    return used >= limit ? 0 : limit - static_cast<std::uint32_t>(used);
}

}  // namespace

std::size_t ProbeBudget::Hash::operator()(const IpAddress& address) const {
    const auto& bytes = address.bytes();
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

ProbeBudget::Left ProbeBudget::left(const Entry& entry, Time now) const {
    std::uint64_t connections = 0;
    std::uint64_t aborted = 0;
    for (const auto& booking : entry.bookings) {
        if (now - booking.at >= limits_.window) continue;
        connections += booking.connections;
        aborted += booking.aborted;
    }
    return {rest(limits_.connections, connections), rest(limits_.aborted, aborted)};
}

ProbeBudget::Left ProbeBudget::left(const IpAddress& address, Time now) const {
    const auto known = entries_.find(address);
    if (known != entries_.end()) return left(known->second, now);
    if (entries_.size() >= limits_.addresses) return {};
    return {limits_.connections, limits_.aborted};
}

bool ProbeBudget::enough(const IpAddress& address, Time now) const {
    const auto have = left(address, now);
    // A limit below what is needed is all there ever is.
    return have.connections >= std::min(least.connections, limits_.connections) &&
           have.aborted >= std::min(least.aborted, limits_.aborted);
}

ProbeBudget::Time ProbeBudget::enough_at(const IpAddress& address, Time now) const {
    if (enough(address, now)) return now;
    const auto known = entries_.find(address);
    if (known == entries_.end()) return now + limits_.window;
    for (const auto& booking : known->second.bookings) {
        const auto then = booking.at + limits_.window;
        if (then > now && enough(address, then)) return then;
    }
    return now + limits_.window;
}

ProbeBudget::Time ProbeBudget::unused_at(const IpAddress& address, Time now) const {
    const auto known = entries_.find(address);
    if (known == entries_.end() || known->second.bookings.empty()) return now;
    return std::max(now, known->second.bookings.back().at + limits_.window);
}

bool ProbeBudget::over(const Entry& entry, Time now) const {
    const bool free = std::all_of(entry.bookings.begin(), entry.bookings.end(),
                                  [&](const auto& b) { return now - b.at >= limits_.window; });
    // How often it asked in a row matters while the pause lasts, and as long again.
    return free && now >= entry.alone_until + limits_.longest_back_off;
}

ProbeBudget::Entry* ProbeBudget::entry_for(const IpAddress& address, Time now) {
    if (const auto known = entries_.find(address); known != entries_.end()) return &known->second;
    if (entries_.size() >= limits_.addresses) sweep(now);
    if (entries_.size() >= limits_.addresses) return nullptr;
    return &entries_[address];
}

void ProbeBudget::forget_what_is_over(Time now) {
    if (now - forgot_at_ < std::chrono::minutes{1}) return;
    forgot_at_ = now;
    sweep(now);
}

void ProbeBudget::sweep(Time now) {
    std::erase_if(entries_, [&](const auto& entry) { return over(entry.second, now); });
}

void ProbeBudget::book(const IpAddress& address, std::uint32_t connections, std::uint32_t aborted,
                       Time now) {
    if (connections == 0 && aborted == 0) return;
    auto* entry = entry_for(address, now);
    if (entry == nullptr) return;
    auto& bookings = entry->bookings;
    std::erase_if(bookings, [&](const auto& b) { return now - b.at >= limits_.window; });
    if (bookings.size() < max_bookings) {
        bookings.push_back({now, connections, aborted});
        return;
    }
    bookings.back().at = now;
    bookings.back().connections += connections;
    bookings.back().aborted += aborted;
}

void ProbeBudget::told_to_go(const IpAddress& address, Time now) {
    auto* entry = entry_for(address, now);
    if (entry == nullptr) return;
    auto pause = limits_.back_off;
    for (auto i = entry->asked_in_a_row; i > 0 && pause < limits_.longest_back_off; --i) pause *= 2;
    entry->alone_until =
        now + std::min(pause, std::max(limits_.back_off, limits_.longest_back_off));
    ++entry->asked_in_a_row;
}

void ProbeBudget::welcomed(const IpAddress& address) {
    const auto known = entries_.find(address);
    if (known == entries_.end()) return;
    known->second.asked_in_a_row = 0;
    known->second.alone_until = {};
}

std::optional<ProbeBudget::Time> ProbeBudget::backing_off(const IpAddress& address,
                                                          Time now) const {
    const auto known = entries_.find(address);
    if (known == entries_.end() || known->second.alone_until <= now) return std::nullopt;
    return known->second.alone_until;
}

bool ProbeBudget::announce(const IpAddress& address, Time until) {
    const auto known = entries_.find(address);
    if (known == entries_.end()) return true;
    return std::exchange(known->second.announced, until) != until;
}

}  // namespace postfathom
