// SPDX-License-Identifier: Apache-2.0
#include "lib/net/notice.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/cache/client_codec.hpp"
#include "lib/cache/json_fields.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr int notice_version = 1;
// With every byte of every text escaped to two, the longest notice stays below max_notice_bytes.
constexpr std::size_t max_reason_text = 512;
// Counts beyond this stay there, as what is written must be readable.
constexpr std::uint64_t max_count = std::uint64_t{1} << 52;

void describe(const RouteLearned& notice, json::object& object) {
    const auto& route = notice.route;
    object["notice"] = "route-learned";
    object["domain"] = printable(route.domain, max_domain_text);
    object["next_hop"] = printable(route.next_hop, max_next_hop_text);
    object["verbatim"] = printable(route.verbatim, max_verbatim_text);
    object["transport"] = printable(route.transport, max_transport_text);
    object["learned_at"] = std::max<std::int64_t>(0, route.learned_at.time_since_epoch().count());
}

void describe(const VerdictWanted& notice, json::object& object) {
    object["notice"] = "verdict-wanted";
    object["next_hop"] = printable(notice.next_hop, max_next_hop_text);
}

void describe(const FailureSeen& notice, json::object& object) {
    object["notice"] = "failure-seen";
    object["address"] = notice.endpoint.address.to_string();
    object["port"] = notice.endpoint.port;
    object["service"] = to_string(notice.endpoint.service);
    object["name"] = printable(notice.endpoint.name, max_domain_text);
    object["next_hop"] = printable(notice.next_hop, max_next_hop_text);
    object["reason"] = printable(notice.reason, max_reason_text);
}

void describe(const ClientsSeen& notice, json::object& object) {
    object["notice"] = "clients-seen";
    put(object, notice.seen);
}

void describe(const HookTimes& notice, json::object& object) {
    object["notice"] = "hook-times";
    object["hook"] = to_string(notice.hook);
    json::array counts;
    for (const auto count : notice.counts) counts.emplace_back(std::min(count, max_count));
    object["counts"] = std::move(counts);
    object["microseconds"] = std::min(notice.microseconds, max_count);
}

// Next hops become places that are probed, so only their canonical spelling is taken from a
// datagram.
std::string canonical_next_hop(JsonFields& fields) {
    const auto spelled = fields.key_text("next_hop", max_next_hop_text);
    if (fields.failed()) return {};
    const auto parsed = parse_next_hop(spelled);
    if (!parsed || to_string(*parsed) != spelled) fields.refuse("next_hop", "a canonical next hop");
    return std::string(spelled);
}

Notice decode_route_learned(JsonFields& fields) {
    fields.only({"v", "notice", "domain", "next_hop", "verbatim", "transport", "learned_at"});
    RouteLearned notice;
    notice.route.domain = fields.key_text("domain", max_domain_text);
    notice.route.next_hop = canonical_next_hop(fields);
    notice.route.verbatim = fields.text_or_empty("verbatim", max_verbatim_text);
    notice.route.transport = fields.text_or_empty("transport", max_transport_text);
    notice.route.learned_at = fields.time("learned_at");
    return notice;
}

Notice decode_verdict_wanted(JsonFields& fields) {
    fields.only({"v", "notice", "next_hop"});
    return VerdictWanted{canonical_next_hop(fields)};
}

Notice decode_failure_seen(JsonFields& fields) {
    fields.only({"v", "notice", "address", "port", "service", "name", "next_hop", "reason"});
    FailureSeen notice;
    notice.endpoint.address = fields.address("address");
    notice.endpoint.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
    notice.endpoint.service = fields.word("service", parse_service);
    notice.endpoint.name = fields.text_or_empty("name", max_domain_text);
    if (!fields.text_or_empty("next_hop", max_next_hop_text).empty())
        notice.next_hop = canonical_next_hop(fields);
    notice.reason = fields.text_or_empty("reason", max_reason_text);
    return notice;
}

Notice decode_hook_times(JsonFields& fields) {
    fields.only({"v", "notice", "hook", "counts", "microseconds"});
    HookTimes notice;
    notice.hook = fields.word("hook", parse_hook_socket);
    const auto counts = fields.numbers("counts", notice.counts.size(), max_count);
    std::copy(counts.begin(), counts.end(), notice.counts.begin());
    notice.microseconds = fields.number("microseconds", 0, max_count);
    return notice;
}

}  // namespace

std::string encode(const Notice& notice) {
    json::object object;
    object["v"] = notice_version;
    std::visit([&object](const auto& kind) { describe(kind, object); }, notice);
    return json::serialize(object);
}

Result<Notice> decode_notice(std::string_view bytes) {
    const auto value = parse_json(bytes, max_notice_bytes);
    if (!value) return fail(value.error().code, "notice: " + value.error().message);
    const auto* object = value->if_object();
    if (object == nullptr) return fail(ErrorCode::corrupt, "notice: expected an object");

    JsonFields fields(*object, "notice");
    fields.number("v", notice_version, notice_version);
    const auto kind = fields.text("notice", 64);
    Notice notice;
    if (kind == "route-learned")
        notice = decode_route_learned(fields);
    else if (kind == "verdict-wanted")
        notice = decode_verdict_wanted(fields);
    else if (kind == "failure-seen")
        notice = decode_failure_seen(fields);
    else if (kind == "clients-seen")
        notice = ClientsSeen{decode_client_seen(fields)};
    else if (kind == "hook-times")
        notice = decode_hook_times(fields);
    else
        fields.refuse("notice",
                      "route-learned, verdict-wanted, failure-seen, clients-seen or hook-times");
    if (fields.failed()) return tl::make_unexpected(fields.error());
    return notice;
}

struct NoticeSender::State {
    Descriptor socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    bool usable = false;
    std::atomic<std::uint64_t> dropped{0};
};

NoticeSender::NoticeSender(std::string socket_path)
    : path_(std::move(socket_path)), state_(std::make_unique<State>()) {
    auto& address = state_->address;
    address.sun_family = AF_UNIX;
    if (!state_->socket) {
        log::error("{}: no notices will be sent: socket: {}", path_, std::strerror(errno));
    } else if (path_.empty() || path_.size() >= sizeof address.sun_path) {
        log::error(
            "notice.socket: \"{}\": no notices will be sent: expected a path of 1 to {} bytes",
            path_, sizeof address.sun_path - 1);
    } else {
        std::memcpy(address.sun_path, path_.data(), path_.size());
        state_->usable = true;
    }
}

NoticeSender::~NoticeSender() = default;

// The socket stays unconnected and every datagram is addressed by path: so it finds whoever is
// bound there now, before and after a restart of postfathom-probed, and threads share nothing but
// the kernel's socket.
bool NoticeSender::send(const Notice& notice) noexcept {
    try {
        if (state_->usable) {
            const auto bytes = encode(notice);
            const auto sent = ::sendto(
                state_->socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&state_->address), sizeof state_->address);
            if (sent == static_cast<ssize_t>(bytes.size())) return true;
        }
    } catch (const std::exception&) {
        // Out of memory: mail is not to suffer for a notice.
    }
    state_->dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
}

std::uint64_t NoticeSender::dropped() const noexcept {
    return state_->dropped.load(std::memory_order_relaxed);
}

}  // namespace postfathom
