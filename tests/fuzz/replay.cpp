// SPDX-License-Identifier: Apache-2.0
// Reads each file of a folder by a target, twice, and where the target takes pieces, cut at every
// place and in single bytes; what it tells must be the same each time.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/target.hpp"

namespace {

using postfathom::fuzz::Input;
using postfathom::fuzz::tell;

std::string contents(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Cutting a long input everywhere takes its length squared; its beginning and its end have the
// heads and tails of what is parsed, the rest is cut now and then.
std::vector<std::size_t> places_to_cut(std::size_t size) {
    constexpr std::size_t everywhere = 1024;
    std::vector<std::size_t> places;
    for (std::size_t at = 1; at < size;
         at += at < everywhere || size - at < everywhere ? 1 : 1 + size / everywhere)
        places.push_back(at);
    return places;
}

bool same(const std::string& whole, const Input& input, const std::string& how) {
    const auto told = tell(input);
    if (told == whole) return true;
    std::fprintf(stderr, "%s:\n%s\nwhole:\n%s\n", how.c_str(), told.c_str(), whole.c_str());
    return false;
}

bool replay(const std::filesystem::path& file) {
    const auto bytes = contents(file);
    const auto whole = tell(Input(bytes));
    bool good = same(whole, Input(bytes), file.string() + " for the second time");
    if (!postfathom::fuzz::takes_pieces) return good;
    const auto places = places_to_cut(bytes.size());
    for (const auto at : places)
        good = good &&
               same(whole, Input(bytes, {at}), file.string() + " cut at " + std::to_string(at));
    std::vector<std::size_t> singly;
    for (std::size_t at = 1; at < bytes.size(); ++at) singly.push_back(at);
    return good && same(whole, Input(bytes, singly), file.string() + " in single bytes");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
        return 64;
    }
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < argc; ++i) {
        if (std::filesystem::is_directory(argv[i]))
            for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
                files.push_back(entry.path());
        else
            files.emplace_back(argv[i]);
    }
    std::sort(files.begin(), files.end());
    bool good = !files.empty();
    for (const auto& file : files) good = replay(file) && good;
    std::printf("%zu inputs\n", files.size());
    return good ? 0 : 1;
}
