// SPDX-License-Identifier: Apache-2.0
// The least that a milter can be: libmilter without a callback. It asks Postfix for nothing and
// lets every message through, so what it costs is Postfix's and libmilter's own work.
//   null_milter SOCKET                serves until it is ended
//   null_milter fill DIRECTORY        stores a cache of 1000 destinations, the first of them well
#include <libmilter/mfapi.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>

#include "tests/bench/filled_cache.hpp"

namespace {

int serve(std::string socket) {
    std::string name = "null";
    smfiDesc description{};
    description.xxfi_name = name.data();
    description.xxfi_version = SMFI_VERSION;
    auto connection = "unix:" + socket;
    ::umask(0);  // Postfix asks as another user
    if (smfi_setconn(connection.data()) != MI_SUCCESS || smfi_register(description) != MI_SUCCESS ||
        smfi_opensocket(true) != MI_SUCCESS) {
        std::fprintf(stderr, "%s: libmilter does not listen\n", socket.c_str());
        return 1;
    }
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string(argv[1]) == "fill")
        return postfathom::bench::fill_cache(argv[2], 1000) ? 0 : 1;
    if (argc == 2) return serve(argv[1]);
    std::fprintf(stderr, "usage: null_milter SOCKET | fill DIRECTORY\n");
    return 2;
}
