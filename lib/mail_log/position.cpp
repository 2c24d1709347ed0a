// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/position.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "lib/base/descriptor.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

namespace {

constexpr std::string_view heading = "postfathom log position 1\n";
constexpr std::size_t longest_file = 4096;

std::optional<FilePosition> decode_position(std::string_view text) {
    std::array<std::uint64_t, 4> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (i > 0 && !take(text, " ")) return std::nullopt;
        const auto number = take_number<std::uint64_t>(text);
        if (!number) return std::nullopt;
        numbers[i] = *number;
    }
    if (!text.empty()) return std::nullopt;
    return FilePosition{numbers[0], numbers[1], numbers[2], numbers[3]};
}

}  // namespace

// FNV-1a.
std::uint64_t hash_before(std::string_view bytes) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char byte : bytes) {
        hash ^= static_cast<unsigned char>(byte);
        hash *= 0x100000001b3U;
    }
    return hash;
}

std::string encode_positions(const std::vector<FilePosition>& positions) {
    std::string text(heading);
    for (const auto& position : positions)
        text += fmt::format("{} {} {} {}\n", position.device, position.inode, position.offset,
                            position.before);
    return text;
}

std::vector<FilePosition> decode_positions(std::string_view text) {
    std::vector<FilePosition> positions;
    if (!take(text, heading)) return {};
    while (!text.empty()) {
        const auto line = take_until(text, "\n");
        const auto position = line ? decode_position(*line) : std::nullopt;
        if (!position || positions.size() >= max_positions) return {};
        positions.push_back(*position);
    }
    return positions;
}

std::optional<std::string> read_small_file(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) return std::nullopt;
    std::string text(longest_file, '\0');
    const auto count = ::read(file.get(), text.data(), text.size());
    if (count < 0) return std::nullopt;
    text.resize(static_cast<std::size_t>(count));
    return text;
}

Result<void> replace_file(const std::string& path, std::string_view text) {
    const auto fresh = path + ".new";
    const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return tl::make_unexpected(errno_error(errno, "open " + fresh));
    const auto count = ::write(file.get(), text.data(), text.size());
    if (count != static_cast<ssize_t>(text.size()))
        return tl::make_unexpected(errno_error(count < 0 ? errno : ENOSPC, "write " + fresh));
    if (std::rename(fresh.c_str(), path.c_str()) != 0)
        return tl::make_unexpected(errno_error(errno, "rename " + fresh));
    return {};
}

}  // namespace postfathom
