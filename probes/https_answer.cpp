// SPDX-License-Identifier: Apache-2.0
#include "probes/https_answer.hpp"

#include <fmt/core.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "lib/base/text.hpp"

namespace postfathom {

namespace http = boost::beast::http;

struct HttpsAnswer::Impl {
    http::response_parser<http::string_body> parser;
    std::string kept;  // what the parser wants to see again, with more
    std::size_t header_bytes = 0;
    std::string problem;

    bool over() const { return !problem.empty() || parser.is_done(); }
};

HttpsAnswer::HttpsAnswer(std::size_t max_body_bytes) : impl_(std::make_unique<Impl>()) {
    // Beast's own count depends on how the header is cut; below its limit we count.
    impl_->parser.header_limit(2 * max_header_bytes);
    impl_->parser.body_limit(max_body_bytes);
}

HttpsAnswer::~HttpsAnswer() = default;

void HttpsAnswer::put(std::string_view bytes) {
    auto& [parser, kept, header_bytes, problem] = *impl_;
    kept += bytes;
    while (!kept.empty() && !impl_->over()) {
        const bool in_header = !parser.is_header_done();
        boost::system::error_code error;
        const auto used = parser.put(boost::asio::buffer(kept), error);
        kept.erase(0, used);
        if (in_header) header_bytes += used;
        if (error && error != http::error::need_more)
            problem = error.message();
        else if (header_bytes > max_header_bytes)
            problem = "its header is too long";
        if (error || used == 0) return;
    }
}

void HttpsAnswer::end() {
    if (impl_->over()) return;
    boost::system::error_code error = http::error::partial_message;
    if (impl_->parser.is_header_done()) impl_->parser.put_eof(error);
    if (error) impl_->problem = error.message();
}

bool HttpsAnswer::over() const { return impl_->over(); }

Result<std::string> HttpsAnswer::body() const {
    const auto wrong = [](std::string words) {
        return fail(ErrorCode::invalid_input, std::move(words));
    };
    if (!impl_->problem.empty()) return wrong(impl_->problem);
    if (!impl_->parser.is_done()) return wrong("it is not whole");
    const auto& answer = impl_->parser.get();
    if (answer.result_int() != 200) return wrong(fmt::format("it answers {}", answer.result_int()));
    const auto type = answer[http::field::content_type];
    if (!istarts_with({type.data(), type.size()}, "text/plain"))
        return wrong("it is not of type text/plain");
    return answer.body();
}

}  // namespace postfathom
