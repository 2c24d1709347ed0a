// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/tls_report.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "lib/base/text.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

// Of the five that there are: the datagram, its policies, one of them, its failures, one of them.
constexpr std::size_t max_depth = 8;
// Postfix reports one policy with at most one failure.
constexpr std::size_t max_policies = 16;
constexpr std::size_t max_failures = 16;
constexpr std::size_t max_reported_host = 255;
constexpr std::size_t max_reason = 128;

tl::unexpected<Error> broken(const char* what) { return fail(ErrorCode::corrupt, what); }

std::optional<std::string_view> text_of(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    const auto* text = value != nullptr ? value->if_string() : nullptr;
    if (text == nullptr) return std::nullopt;
    return std::string_view(text->data(), text->size());
}

std::optional<std::int64_t> number_of(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    const auto* number = value != nullptr ? value->if_int64() : nullptr;
    if (number == nullptr) return std::nullopt;
    return *number;
}

bool is_host(std::string_view text) {
    return !text.empty() && text.size() <= max_reported_host &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-' || c == '.' || c == '_';
           });
}

// A domain as a next hop without brackets and port: Postfix sends no report where the next hop is
// an address.
std::optional<std::string> domain_of(const json::object& report) {
    const auto text = text_of(report, "d");
    if (!text || !is_host(*text)) return std::nullopt;
    const auto next_hop = parse_next_hop(*text);
    if (!next_hop || next_hop->literal || next_hop->port) return std::nullopt;
    return next_hop->host;
}

TlsFailureKind kind_of(std::int64_t code) {
    const bool known = (code >= 201 && code <= 205) || (code >= 301 && code <= 306);
    return known ? static_cast<TlsFailureKind>(code) : TlsFailureKind::other;
}

Result<TlsFailure> failure_of(const json::value& value) {
    const auto* details = value.if_object();
    if (details == nullptr) return broken("a failure is no object");
    const auto code = number_of(*details, "c");
    if (!code) return broken("a failure has no code");
    TlsFailure failure;
    failure.kind = kind_of(*code);
    if (const auto address = text_of(*details, "r")) {
        const auto parsed = IpAddress::parse(*address);
        if (!parsed) return broken("a failure's receiving IP is no address");
        // Postfix's "unknown" where a server has no name.
        const auto name = text_of(*details, "n").value_or("unknown");
        if (!is_host(name) && !IpAddress::parse(name))
            return broken("a failure's MX name is no host name");
        failure.peer = LoggedPeer{std::string(name), *parsed, std::nullopt};
    }
    failure.reason = printable(text_of(*details, "f").value_or(""), max_reason);
    return failure;
}

Result<void> add_failures(const json::object& policy, std::vector<TlsFailure>& failures) {
    const auto* value = policy.if_contains("failure-details");
    if (value == nullptr) return {};
    const auto* details = value->if_array();
    if (details == nullptr) return broken("failure-details is no list");
    for (const auto& item : *details) {
        if (failures.size() == max_failures) return broken("too many failures");
        auto failure = failure_of(item);
        if (!failure) return tl::make_unexpected(failure.error());
        failures.push_back(std::move(*failure));
    }
    return {};
}

}  // namespace

std::string_view to_string(TlsFailureKind kind) {
    using enum TlsFailureKind;
    switch (kind) {
        case starttls_not_supported:
            return "starttls-not-supported";
        case certificate_host_mismatch:
            return "certificate-host-mismatch";
        case certificate_not_trusted:
            return "certificate-not-trusted";
        case certificate_expired:
            return "certificate-expired";
        case validation_failure:
            return "validation-failure";
        case sts_policy_fetch_error:
            return "sts-policy-fetch-error";
        case sts_policy_invalid:
            return "sts-policy-invalid";
        case sts_webpki_invalid:
            return "sts-webpki-invalid";
        case tlsa_invalid:
            return "tlsa-invalid";
        case dnssec_invalid:
            return "dnssec-invalid";
        case dane_required:
            return "dane-required";
        case other:
            return "other";
    }
    return "other";
}

bool concerns_server(TlsFailureKind kind) {
    return kind >= TlsFailureKind::starttls_not_supported &&
           kind <= TlsFailureKind::validation_failure;
}

Result<TlsReport> parse_tls_report(std::string_view datagram) {
    if (datagram.size() > max_tls_report_bytes) return broken("longer than 64 KiB");
    json::parse_options options;
    options.max_depth = max_depth;
    // The library escapes control bytes and leaves the others as the server sent them.
    options.allow_invalid_utf8 = true;
    json::error_code error;
    const auto value = json::parse({datagram.data(), datagram.size()}, error, {}, options);
    const auto* object = error ? nullptr : value.if_object();
    if (object == nullptr) return broken("no JSON object");
    // Libraries before 0.5 did not number their datagrams.
    if (object->contains("dpv") && text_of(*object, "dpv") != "1")
        return broken("another version of the datagram protocol than 1");

    TlsReport report;
    auto domain = domain_of(*object);
    if (!domain) return broken("no domain");
    report.domain = std::move(*domain);
    const auto* policies_value = object->if_contains("policies");
    const auto* policies = policies_value != nullptr ? policies_value->if_array() : nullptr;
    if (policies == nullptr || policies->empty() || policies->size() > max_policies)
        return broken("no policies, or too many");
    report.succeeded = true;
    for (const auto& item : *policies) {
        const auto* policy = item.if_object();
        if (policy == nullptr) return broken("a policy is no object");
        const auto failed = number_of(*policy, "f");
        if (failed != 0 && failed != 1) return broken("a policy has no result");
        // What failed on the way to a success is none of the result.
        if (failed == 0) continue;
        report.succeeded = false;
        if (const auto added = add_failures(*policy, report.failures); !added)
            return tl::make_unexpected(added.error());
    }
    return report;
}

}  // namespace postfathom
