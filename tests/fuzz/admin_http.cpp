// SPDX-License-Identifier: Apache-2.0
// A request to the admin query socket or the loopback port, read by Beast within our limits as
// admin_server.cpp has it read, and what we make of it.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/serialize.hpp>

#include "lib/cache/json_fields.hpp"
#include "probes/admin_request.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

namespace {

namespace http = boost::beast::http;
using Request = http::request<http::string_body>;

std::string text_of(const AdminReply& reply) {
    auto text = std::to_string(reply.status) + ' ' + boost::json::serialize(reply.body) + '\n';
    require(is_printable(std::string_view(text).substr(0, text.size() - 1)),
            "errors are printable");
    return text;
}

std::string told_of(const Request& request) {
    const auto host = request[http::field::host];
    const RequestWords words{{request.method_string().data(), request.method_string().size()},
                             {request.target().data(), request.target().size()},
                             {host.data(), host.size()}};
    std::string told;
    if (const auto refused = refuse_at(Door::loopback_port, words)) told += text_of(*refused);
    if (const auto refused = refuse_request(words)) return told + text_of(*refused);
    const auto target = split_target(words.target);
    if (const auto page = parse_page(target.query)) {
        require(page->limit >= 1 && page->limit <= 1000, "pages are bounded");
        told += page->after + std::to_string(page->limit);
    } else {
        require(is_printable(page.error().message), "errors are printable");
    }
    if (const auto decoded = percent_decode(target.path)) {
        require(decoded->size() <= target.path.size(), "decoding makes nothing longer");
        const auto name = decoded->substr(std::min(decoded->size(), destination_prefix.size()));
        const auto next_hop = next_hop_of(name);
        told += next_hop ? to_string(*next_hop) : text_of(next_hop.error());
    }
    const auto asked = parse_probe_asked(request.body());
    if (!asked) return told + text_of(asked.error());
    require(is_printable(asked->verbatim), "what is asked for is printable");
    return told + to_string(asked->next_hop) + asked->verbatim + (asked->wait ? " wait" : "");
}

}  // namespace

std::string tell(const Input& input) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(beast_header_limit);
    parser.body_limit(max_body_bytes);
    std::size_t header_bytes = 0;
    std::string kept;  // as the reader's buffer keeps what the parser has not taken
    boost::system::error_code error;
    bool over = false;
    const auto refused = [&] {
        return error || header_bytes > max_header_bytes ||
               (parser.is_header_done() && parser.chunked());
    };
    input.pieces([&](std::string_view bytes) {
        if (over) return;
        kept += bytes;
        while (!kept.empty() && !over) {
            const bool in_header = !parser.is_header_done();
            const auto taken = parser.put(boost::asio::buffer(kept), error);
            kept.erase(0, taken);
            if (in_header) header_bytes += taken;
            if (error == http::error::need_more) {
                error = {};
                return;
            }
            over = refused() || parser.is_done();
            if (taken == 0) return;
        }
    });
    // Of lines that are no header Beast complains at once when it has them whole, and otherwise
    // waits for the empty line.
    if (refused() || !parser.is_done()) return "no request";
    return told_of(parser.get());
}

}  // namespace postfathom::fuzz
