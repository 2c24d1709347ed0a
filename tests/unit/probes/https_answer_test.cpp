// SPDX-License-Identifier: Apache-2.0
#include "probes/https_answer.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;

namespace {

constexpr std::size_t limit = 100;
const std::string text_plain = "Content-Type: text/plain\r\n";
const std::string policy = "version: STSv1\r\nmode: none\r\n";  // 28 bytes

// What is read when it comes in two pieces; "-WORDS" when it is refused.
std::string read(const std::string& answer, std::size_t cut, bool ended) {
    HttpsAnswer reader(limit);
    reader.put(answer.substr(0, cut));
    reader.put(answer.substr(cut));
    if (ended) reader.end();
    const auto body = reader.body();
    return body ? *body : "-" + body.error().message;
}

std::string read_bytes(const std::string& answer, bool ended) {
    HttpsAnswer reader(limit);
    for (const char c : answer) reader.put({&c, 1});
    if (ended) reader.end();
    const auto body = reader.body();
    return body ? *body : "-";
}

struct Case {
    const char* name;
    std::string answer;
    std::string found;  // what is in the message, with '-' before it; or the body
    bool ended = false;
};

const Case cases[] = {
    {"with its length", "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 28\r\n\r\n" + policy,
     policy},
    {"with more behind it",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 28\r\n\r\n" + policy + "HTTP/1.1 500",
     policy},
    {"in chunks, with extensions and trailers",
     "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nTransfer-Encoding: "
     "chunked\r\n\r\n10;a=b\r\nversion: STSv1\r\n\r\nc\r\nmode: none\r\n\r\n0\r\nX-More: 1\r\n\r\n",
     "version: STSv1\r\nmode: none\r\n"},
    {"up to the end of TLS", "HTTP/1.1 200 OK\r\n" + text_plain + "\r\n" + policy, policy, true},
    {"without an end", "HTTP/1.1 200 OK\r\n" + text_plain + "\r\n" + policy, "-it is not whole"},
    {"shorter than its length",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 29\r\n\r\n" + policy, "-partial message",
     true},
    {"without its last chunk",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
     "-partial message", true},
    {"without its header's end", "HTTP/1.1 200 OK\r\n" + text_plain, "-partial message", true},
    {"nothing", "", "-partial message", true},
    {"longer than we take",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 101\r\n\r\n" + std::string(101, 'a'),
     "-body limit exceeded"},
    {"longer without a length", "HTTP/1.1 200 OK\r\n" + text_plain + "\r\n" + std::string(101, 'a'),
     "-body limit exceeded", true},
    {"longer in chunks",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Transfer-Encoding: chunked\r\n\r\n40\r\n" +
         std::string(64, 'a') + "\r\n40\r\n" + std::string(64, 'a') + "\r\n0\r\n\r\n",
     "-body limit exceeded"},
    {"a chunk of more bytes than there are",
     "HTTP/1.1 200 OK\r\n" + text_plain +
         "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\naaaa\r\n",
     "-body limit exceeded"},
    {"a chunk without a size",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Transfer-Encoding: chunked\r\n\r\nzz\r\naaaa\r\n",
     "-bad chunk"},
    {"not there", "HTTP/1.1 404 Not Found\r\n" + text_plain + "Content-Length: 0\r\n\r\n",
     "-it answers 404"},
    {"somewhere else",
     "HTTP/1.1 301 Moved\r\nLocation: https://example.net/\r\nContent-Length: 0\r\n\r\n",
     "-it answers 301"},
    {"a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\na",
     "-it is not of type text/plain"},
    {"no type", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "-it is not of type text/plain"},
    {"another protocol", "220 mail.example.net ESMTP\r\n\r\n", "-bad version"},
    {"a header just below the limit",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 1\r\nX: " +
         std::string(HttpsAnswer::max_header_bytes - 17 - 26 - 19 - 3 - 4, 'x') + "\r\n\r\na",
     "a"},
    {"a header just above it",
     "HTTP/1.1 200 OK\r\n" + text_plain + "Content-Length: 1\r\nX: " +
         std::string(HttpsAnswer::max_header_bytes - 17 - 26 - 19 - 3 - 4 + 1, 'x') + "\r\n\r\na",
     "-its header is too long"},
};

}  // namespace

TEST_CASE("an answer over HTTPS counts when it is whole, of the right kind and short enough") {
    for (const auto& example : cases) {
        CAPTURE(example.name);
        CHECK(read(example.answer, 0, example.ended) == example.found);
    }
}

TEST_CASE("an answer over HTTPS reads the same wherever it is cut") {
    for (const auto& example : cases) {
        CAPTURE(example.name);
        const bool good = !example.found.starts_with('-');
        // Around the ends of the parts is where readings could differ; of a long header every place
        // would take minutes under the sanitizers.
        const std::size_t step = example.answer.size() > 1000 ? 97 : 1;
        for (std::size_t cut = 0; cut <= example.answer.size(); cut += step) {
            CAPTURE(cut);
            const auto found = read(example.answer, cut, example.ended);
            CHECK(found.starts_with('-') != good);
            if (good) CHECK(found == example.found);
        }
        if (step == 1)
            CHECK(read_bytes(example.answer, example.ended) == (good ? example.found : "-"));
    }
}

TEST_CASE("an answer over HTTPS that never ends takes no more memory than its limits") {
    HttpsAnswer header(limit);
    HttpsAnswer chunks(limit);
    header.put("HTTP/1.1 200 OK\r\n");
    chunks.put("HTTP/1.1 200 OK\r\n" + text_plain + "Transfer-Encoding: chunked\r\n\r\n");
    std::size_t header_bytes = 0;
    std::size_t chunk_bytes = 0;
    const std::string line = "X-Filler: " + std::string(100, 'x') + "\r\n";
    for (; !header.over() && header_bytes < 1'000'000; header_bytes += line.size())
        header.put(line);
    for (; !chunks.over() && chunk_bytes < 1'000'000; chunk_bytes += 6) chunks.put("1\r\na\r\n");
    CHECK(header.over());
    CHECK(header_bytes <= 3 * HttpsAnswer::max_header_bytes);
    CHECK(chunks.over());
    CHECK(chunk_bytes <= 6 * (limit + 1));
}
