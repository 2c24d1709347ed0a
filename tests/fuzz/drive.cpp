// SPDX-License-Identifier: Apache-2.0
// libFuzzer's way into a target: whole, cut once at a place that the input itself decides, and in
// single bytes.
#include <cstdint>

#include "tests/fuzz/target.hpp"

namespace {

using postfathom::fuzz::Input;
using postfathom::fuzz::require;
using postfathom::fuzz::tell;

// Single bytes cost a call each: of long inputs the one cut has to do.
constexpr std::size_t max_single_bytes = 512;

std::size_t cut_of(std::string_view bytes) {
    std::size_t sum = 2'166'136'261;  // FNV-1a
    for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 16'777'619;
    return sum % bytes.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto whole = tell(Input(bytes));
    if (!postfathom::fuzz::takes_pieces || bytes.size() < 2) return 0;
    require(tell(Input(bytes, {cut_of(bytes)})) == whole, "a cut changes nothing");
    if (bytes.size() > max_single_bytes) return 0;
    std::vector<std::size_t> everywhere;
    for (std::size_t at = 1; at < bytes.size(); ++at) everywhere.push_back(at);
    require(tell(Input(bytes, std::move(everywhere))) == whole, "single bytes change nothing");
    return 0;
}
