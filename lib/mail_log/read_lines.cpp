// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/read_lines.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "lib/base/text.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

namespace {

// Bytes at the end of an open file; 0 for what has no end, such as a directory.
std::uint64_t size_of(std::ifstream& in) {
    in.seekg(0, std::ios::end);
    const auto size = in.tellg();
    return size > 0 ? static_cast<std::uint64_t>(size) : 0;
}

void read_end(std::ifstream& in, std::uint64_t size, std::uint64_t max_bytes,
              const OnLogLine& on_line) {
    const auto begin = size > max_bytes ? size - max_bytes : 0;
    in.clear();
    in.seekg(static_cast<std::streamoff>(begin));
    bool whole = begin == 0;
    read_log_lines(in, [&](std::string_view line) {
        if (whole) on_line(line);
        whole = true;  // the first one may have begun before
    });
}

}  // namespace

void read_log_lines(std::istream& in, const OnLogLine& on_line) {
    std::string line;
    char buffer[65536];
    while (in.read(buffer, sizeof buffer), in.gcount() > 0) {
        std::string_view rest(buffer, static_cast<std::size_t>(in.gcount()));
        while (!rest.empty()) {
            const auto end = rest.find('\n');
            const auto piece = rest.substr(0, end);
            if (line.size() < max_log_line_bytes)
                line.append(piece.substr(0, max_log_line_bytes - line.size()));
            if (end == rest.npos) break;
            on_line(line);
            line.clear();
            rest.remove_prefix(end + 1);
        }
    }
    if (!line.empty()) on_line(line);
}

Result<void> read_log_tail(const std::string& file, std::uint64_t max_bytes,
                           const OnLogLine& on_line) {
    errno = 0;
    std::ifstream in(file, std::ios::binary);
    if (!in)
        return fail(ErrorCode::io,
                    printable(file) + ": " + std::strerror(errno != 0 ? errno : EIO));
    const auto size = size_of(in);
    if (size < max_bytes) {
        std::ifstream rotated(file + ".1", std::ios::binary);
        if (rotated) read_end(rotated, size_of(rotated), max_bytes - size, on_line);
    }
    read_end(in, size, max_bytes, on_line);
    return {};
}

}  // namespace postfathom
