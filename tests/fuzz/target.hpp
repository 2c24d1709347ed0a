// SPDX-License-Identifier: Apache-2.0
// What every target has: it hands an input to one parser and tells in text what the parser said.
// libFuzzer drives it (drive.cpp), and the normal tests replay tests/data/fuzz through it
// (replay.cpp).
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postfathom::fuzz {

// An input and where it is cut, as reads from a socket cut it.
class Input {
  public:
    explicit Input(std::string_view bytes, std::vector<std::size_t> cuts = {})
        : bytes_(bytes), cuts_(std::move(cuts)) {}

    std::string_view bytes() const { return bytes_; }

    // Every piece between `begin` and `end` is in memory of its own that is gone afterwards: what a
    // parser reads beside its piece, or keeps a view of, AddressSanitizer sees.
    template <typename Take>
    void pieces(Take take, std::size_t begin = 0, std::size_t end = std::string_view::npos) const {
        end = end < bytes_.size() ? end : bytes_.size();
        for (const auto cut : cuts_) {
            if (cut <= begin || cut >= end) continue;
            piece(take, begin, cut);
            begin = cut;
        }
        if (begin < end) piece(take, begin, end);
    }

  private:
    template <typename Take>
    void piece(Take& take, std::size_t begin, std::size_t end) const {
        const std::unique_ptr<char[]> copy(new char[end - begin]);
        bytes_.copy(copy.get(), end - begin, begin);
        take(std::string_view(copy.get(), end - begin));
    }

    std::string_view bytes_;
    std::vector<std::size_t> cuts_;  // ascending
};

// What holds for any input, whatever it is.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "this must hold and does not: %s\n", what);
    std::abort();
}

// Each target defines these two. `tell` says all that the parser found, so that two readings of an
// input can be compared; `takes_pieces`: it must say the same wherever the input is cut.
std::string tell(const Input& input);
extern const bool takes_pieces;

}  // namespace postfathom::fuzz
