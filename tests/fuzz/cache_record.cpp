// SPDX-License-Identifier: Apache-2.0
// Records of the cache, whose file may be damaged, and notices, which are datagrams. What is read
// can be written and reads the same again.
#include "lib/cache/client_codec.hpp"
#include "lib/cache/record_codec.hpp"
#include "lib/net/notice.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

namespace {

template <typename Value>
std::string read(std::string_view bytes, Result<Value> (*decode)(std::string_view)) {
    const auto value = decode(bytes);
    if (!value) {
        require(is_printable(value.error().message), "errors are printable");
        return value.error().message + '\n';
    }
    const auto written = encode(*value);
    require(is_printable(written), "records are printable");
    const auto again = decode(written);
    require(again && *again == *value, "what was written reads the same");
    return written + '\n';
}

}  // namespace

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        told = read(bytes, decode_next_hop) + read(bytes, decode_endpoint) +
               read(bytes, decode_path) + read(bytes, decode_route) + read(bytes, decode_client) +
               read(bytes, decode_notice);
    });
    return told;
}

}  // namespace postfathom::fuzz
