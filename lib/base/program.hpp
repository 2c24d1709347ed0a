// SPDX-License-Identifier: Apache-2.0
// Runs another program and reads what it prints: without a shell, in bounded time, of bounded
// length.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"

namespace postfathom {

// Starts a program, looked for in PATH, with its arguments. It has an empty standard input, the
// descriptor `output` as its standard output and `error` as its standard error (-1: ours), no other
// descriptor of ours, and signals as a shell gives them. ErrorCode::not_found when there is no such
// program.
Result<pid_t> start_program(const std::vector<std::string>& words, int output, int error = -1);

struct ProgramLimits {
    std::chrono::milliseconds time{30'000};
    std::size_t output = std::size_t{1} << 20;  // bytes of standard output
};

struct ProgramEnd {
    int status = 0;     // as a shell has it: 128 and the signal's number for one that was killed
    bool cut = false;   // it had more to say, or more time to take, and was ended
    std::string error;  // the first 4096 bytes of its standard error, as it wrote them
};

// `words` is the program, looked for in PATH, and its arguments. Its standard input is empty.
// ErrorCode::not_found when there is no such program.
Result<ProgramEnd> run_program(const std::vector<std::string>& words, const ProgramLimits& limits,
                               const std::function<void(std::string_view)>& on_output);

}  // namespace postfathom
