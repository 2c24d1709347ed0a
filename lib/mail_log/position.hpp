// SPDX-License-Identifier: Apache-2.0
// How far a log was read, kept in a small file across restarts.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"

namespace postfathom {

// After the end of a process that could not write its position, so much is read a second time.
inline constexpr std::chrono::seconds save_position_every{10};

// Of one file. An inode number may be used again, and a file be truncated and grow: `before` is a
// hash of the bytes that stood before the offset.
struct FilePosition {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t offset = 0;  // the start of the first line that was not reported
    std::uint64_t before = 0;
    bool operator==(const FilePosition&) const = default;
};
inline constexpr std::size_t hashed_before = 64;  // bytes at most
std::uint64_t hash_before(std::string_view bytes);

// The rotated files that are still read, oldest first, and the current one.
inline constexpr std::size_t max_positions = 10;
std::string encode_positions(const std::vector<FilePosition>& positions);
// Empty when the text is not exactly what encode_positions makes.
std::vector<FilePosition> decode_positions(std::string_view text);

// At most 4 KiB of a file; nothing when it cannot be read.
std::optional<std::string> read_small_file(const std::string& path);
// By way of a second file and rename(2): readers see the old text or the new.
Result<void> replace_file(const std::string& path, std::string_view text);

}  // namespace postfathom
