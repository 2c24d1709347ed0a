// SPDX-License-Identifier: Apache-2.0
#include "probes/resolver.hpp"

#include <sys/stat.h>
#include <unbound.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "lib/base/text.hpp"
#include "lib/net/deadline.hpp"
#include "probes/hosts_file.hpp"
#include "probes/mta_sts.hpp"
#include "probes/mx_record.hpp"
#include "probes/tlsa_record.hpp"

namespace postfathom {

namespace {

constexpr const char* resolv_conf = "/etc/resolv.conf";
constexpr const char* hosts_path = "/etc/hosts";
constexpr std::size_t max_file_bytes = std::size_t{4} << 20;
constexpr std::size_t max_mx_hosts = 20;
constexpr std::size_t max_addresses_per_host = 20;

// RFC 1035, RFC 3596, RFC 6698
enum RecordType : int { type_a = 1, type_mx = 15, type_txt = 16, type_aaaa = 28, type_tlsa = 52 };
constexpr int class_in = 1;

// What came back for one question.
struct Answer {
    enum class Kind { records, no_data, no_name, failed } kind = Kind::failed;
    std::vector<std::string> records;  // RDATA
    std::chrono::seconds ttl{0};
    bool secure = false;  // DNSSEC proves it, also that there is nothing
    std::string problem;
};

std::string read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(max_file_bytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    return text;
}

bool names_a_server(std::string_view resolv_conf_text) {
    const auto lines = split(resolv_conf_text, '\n');
    return std::any_of(lines.begin(), lines.end(),
                       [](std::string_view line) { return istarts_with(line, "nameserver"); });
}

Answer to_answer(int error, const ub_result* result) {
    Answer answer;
    if (error != 0 || result == nullptr) {
        answer.problem = ub_strerror(error);
        return answer;
    }
    constexpr int name_error = 3;  // RCODE 3, RFC 1035 section 4.1.1
    answer.secure = result->secure != 0 && result->bogus == 0;
    if (result->bogus == 0 && (result->nxdomain != 0 || result->rcode == name_error)) {
        answer.kind = Answer::Kind::no_name;
    } else if (result->bogus != 0) {
        answer.problem = std::string("DNSSEC validation failed: ") +
                         (result->why_bogus != nullptr ? printable(result->why_bogus) : "");
    } else if (result->rcode != 0) {
        answer.problem = "the name server answered with RCODE " + std::to_string(result->rcode);
    } else if (result->havedata == 0) {
        answer.kind = Answer::Kind::no_data;
    } else {
        answer.kind = Answer::Kind::records;
        for (int i = 0; result->data[i] != nullptr; ++i)
            answer.records.emplace_back(result->data[i], static_cast<std::size_t>(result->len[i]));
        answer.ttl = std::chrono::seconds{std::max(result->ttl, 0)};
    }
    return answer;
}

// A libunbound context whose answers arrive on an Asio executor. Names are resolved in its own
// thread; everything here runs on ours.
class UnboundContext {
  public:
    // `trust_anchor`: a file; empty: signatures are not looked at.
    explicit UnboundContext(const std::string& trust_anchor) : context_(ub_ctx_create()) {
        if (context_ == nullptr) return;
        if (!trust_anchor.empty()) ub_ctx_add_ta_file(context_, trust_anchor.c_str());
        ub_ctx_async(context_, 1);
        // A resolver on this host is the usual set-up of a mail relay; libunbound refuses it by
        // default.
        option("do-not-query-localhost:", "no");
        // Internal relays live in zones that libunbound answers itself by default.
        option("unblock-lan-zones:", "yes");
        // No name server given means the one on this host, as for glibc (resolv.conf(5));
        // libunbound would ask the root servers itself. A file that cannot be opened now, for want
        // of a descriptor, says nothing: the next question tries again.
        const std::ifstream there(resolv_conf);
        const bool unreadable = !there.is_open() && errno != ENOENT && errno != EACCES;
        const bool named = names_a_server(read_file(resolv_conf));
        if (unreadable || (named ? ub_ctx_resolvconf(context_, resolv_conf)
                                 : ub_ctx_set_fwd(context_, "127.0.0.1")) != 0) {
            ub_ctx_delete(std::exchange(context_, nullptr));
            return;
        }
        // Last, since it ends the configuration.
        ub_ctx_zone_add(context_, "test.", "transparent");
    }
    ~UnboundContext() {
        if (descriptor_) descriptor_->release();  // libunbound closes it
        if (context_ != nullptr) ub_ctx_delete(context_);
    }
    UnboundContext(const UnboundContext&) = delete;
    UnboundContext& operator=(const UnboundContext&) = delete;

    bool usable() const { return context_ != nullptr; }
    bool idle() const { return pending_.empty(); }

    asio::awaitable<Answer> ask(std::string name, RecordType type) {
        auto executor = co_await asio::this_coro::executor;
        Answer failed;
        failed.problem = "libunbound cannot start";
        if (context_ == nullptr) co_return failed;
        Question question(*this, executor);
        const int error = ub_resolve_async(context_, name.c_str(), type, class_in, &question,
                                           &UnboundContext::answered, &question.id);
        if (error != 0) {
            failed.problem = ub_strerror(error);
            co_return failed;
        }
        pending_.emplace(question.id, &question);
        listen(executor);
        while (!question.answer) {
            const auto waited = co_await question.arrived.async_wait(use_result);
            // Only answered() cancels the timer while we wait; any other end is our own
            // cancellation.
            const auto state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none) break;
            (void)waited;
        }
        co_return question.answer ? std::move(*question.answer) : std::move(failed);
    }

  private:
    // Lives on the coroutine's frame; forgets itself when that ends early.
    struct Question {
        Question(UnboundContext& context, const asio::any_io_executor& executor)
            : owner(context), arrived(executor, asio::steady_timer::time_point::max()) {}
        ~Question() {
            if (owner.pending_.erase(id) > 0) ub_cancel(owner.context_, id);
            if (owner.pending_.empty() && owner.descriptor_) owner.descriptor_->cancel();
        }
        Question(const Question&) = delete;
        Question& operator=(const Question&) = delete;

        UnboundContext& owner;
        asio::steady_timer arrived;
        std::optional<Answer> answer;
        int id = 0;
    };

    static void answered(void* question_pointer, int error, ub_result* result) {
        auto& question = *static_cast<Question*>(question_pointer);
        question.answer = to_answer(error, result);
        ub_resolve_free(result);
        question.owner.pending_.erase(question.id);
        question.arrived.cancel();
    }

    void option(const char* name, const char* value) { ub_ctx_set_option(context_, name, value); }

    void listen(const asio::any_io_executor& executor) {
        if (!descriptor_) descriptor_.emplace(executor, ub_fd(context_));
        if (listening_) return;
        listening_ = true;
        descriptor_->async_wait(
            asio::posix::stream_descriptor::wait_read,
            [this, alive = std::weak_ptr<int>(alive_)](boost::system::error_code) {
                if (alive.expired()) return;
                listening_ = false;
                ub_process(context_);
                if (!pending_.empty()) listen(descriptor_->get_executor());
            });
    }

    ub_ctx* context_;
    std::optional<asio::posix::stream_descriptor> descriptor_;
    std::unordered_map<int, Question*> pending_;
    bool listening_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

IpAddress to_address(const std::string& rdata, RecordType type) {
    if (type == type_a && rdata.size() == 4) {
        std::array<std::uint8_t, 4> bytes{};
        std::copy(rdata.begin(), rdata.end(), bytes.begin());
        return IpAddress::from_v4(bytes);
    }
    std::array<std::uint8_t, 16> bytes{};
    if (type == type_aaaa && rdata.size() == 16)
        std::copy(rdata.begin(), rdata.end(), bytes.begin());
    return IpAddress::from_v6(bytes);
}

// One resolution on its way: what is wanted, and the smallest TTL of what was used so far.
struct Lookup {
    std::optional<IpFamily> family;
    std::optional<std::chrono::seconds> ttl;

    bool wants(const IpAddress& address) const { return !family || address.family() == *family; }
    void used(const Answer& answer) { ttl = ttl ? std::min(*ttl, answer.ttl) : answer.ttl; }
};

}  // namespace

struct Resolver::Impl {
    // A fresh context when resolv.conf changed: libunbound reads it once.
    struct Kept {
        std::unique_ptr<UnboundContext> context;
        std::string trust_anchor;
        struct stat seen{};

        UnboundContext& fresh(const std::string& wanted_anchor) {
            struct stat now{};
            ::stat(resolv_conf, &now);
            const bool same =
                now.st_ino == seen.st_ino && now.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec && trust_anchor == wanted_anchor;
            // Without memory or descriptors it does not start; the next question tries again.
            if (!context || !context->usable() || (!same && context->idle())) {
                context.reset();
                context = std::make_unique<UnboundContext>(wanted_anchor);
                trust_anchor = wanted_anchor;
                seen = now;
            }
            return *context;
        }
    };
    UnboundContext& context() { return plain_.fresh(""); }

    // `lookup` lives on the frame of Resolver::resolve, which waits for all of these.
    asio::awaitable<Result<std::vector<IpAddress>>> addresses(std::string name, Lookup& lookup);
    asio::awaitable<Result<Resolution>> by_mx(std::string name, Lookup& lookup);
    asio::awaitable<Result<Resolution>> by_address(std::string name, Lookup& lookup);

    asio::awaitable<std::optional<std::vector<std::string>>> signed_servers(NextHop next_hop,
                                                                            std::string anchor);
    asio::awaitable<std::optional<TlsaUse>> tlsa_of(std::string server, std::uint16_t port,
                                                    std::string anchor);
    asio::awaitable<std::optional<DaneServers>> dane(NextHop next_hop, std::uint16_t port,
                                                     std::string anchor);

    Kept plain_;
    // Apart from the other, since a name server that drops signatures would make every name bogus.
    Kept validating_;
};

asio::awaitable<Result<std::vector<IpAddress>>> Resolver::Impl::addresses(std::string name,
                                                                          Lookup& lookup) {
    auto listed = addresses_in_hosts_file(read_file(hosts_path), name);
    const bool in_hosts_file = !listed.empty();
    std::erase_if(listed, [&](const IpAddress& address) { return !lookup.wants(address); });
    if (in_hosts_file && listed.empty())
        co_return fail(ErrorCode::not_found,
                       name + ": " + hosts_path + " has no address of the wanted family for it");
    if (in_hosts_file) co_return listed;

    std::vector<IpAddress> found;
    std::string problem;
    bool name_exists = false;
    for (const auto type : {type_aaaa, type_a}) {
        if (lookup.family && (*lookup.family == IpFamily::v6) != (type == type_aaaa)) continue;
        const Answer answer = co_await context().ask(name, type);
        if (answer.kind == Answer::Kind::failed) problem = answer.problem;
        if (answer.kind == Answer::Kind::no_data) name_exists = true;
        if (answer.kind != Answer::Kind::records) continue;
        lookup.used(answer);
        for (const auto& rdata : answer.records)
            if (found.size() < max_addresses_per_host) found.push_back(to_address(rdata, type));
    }
    if (!found.empty()) co_return found;
    if (!problem.empty())
        co_return fail(ErrorCode::io, name + ": address lookup failed: " + problem);
    co_return fail(ErrorCode::not_found, name + (name_exists ? ": the name has no address"
                                                             : ": the name does not exist"));
}

asio::awaitable<Result<Resolution>> Resolver::Impl::by_address(std::string name, Lookup& lookup) {
    auto found = co_await addresses(name, lookup);
    if (!found) co_return tl::make_unexpected(found.error());
    Resolution resolution;
    resolution.hosts.push_back({name, std::move(*found)});
    co_return resolution;
}

asio::awaitable<Result<Resolution>> Resolver::Impl::by_mx(std::string name, Lookup& lookup) {
    const Answer answer = co_await context().ask(name, type_mx);
    if (answer.kind == Answer::Kind::failed) {
        // Without a working name server the hosts file may still know the place.
        if (!addresses_in_hosts_file(read_file(hosts_path), name).empty())
            co_return co_await by_address(name, lookup);
        co_return fail(ErrorCode::io, name + ": MX lookup failed: " + answer.problem);
    }
    // No MX: the name itself is the mail host (RFC 5321 section 5.1).
    if (answer.kind != Answer::Kind::records) co_return co_await by_address(name, lookup);

    std::vector<MxRecord> records;
    for (const auto& rdata : answer.records)
        if (auto record = parse_mx(rdata)) records.push_back(std::move(*record));
    lookup.used(answer);
    sort_mx(records);
    if (null_mx(records))
        co_return fail(ErrorCode::not_found,
                       name + ": the domain accepts no mail (null MX, RFC 7505)");
    std::erase_if(records, [](const MxRecord& record) { return record.exchange.empty(); });
    if (records.size() > max_mx_hosts) records.resize(max_mx_hosts);

    Resolution resolution;
    Error last{ErrorCode::not_found, name + ": its MX records name no usable host"};
    for (const auto& record : records) {
        auto found = co_await addresses(record.exchange, lookup);
        if (found)
            resolution.hosts.push_back({record.exchange, std::move(*found), record.preference});
        else if (last.code == ErrorCode::not_found)
            last = found.error();
    }
    if (resolution.hosts.empty()) co_return tl::make_unexpected(last);
    co_return resolution;
}

// The MX hosts as DNSSEC proves them; empty: it proves none. Nothing: it could not be told.
asio::awaitable<std::optional<std::vector<std::string>>> Resolver::Impl::signed_servers(
    NextHop next_hop, std::string anchor) {
    std::vector<std::string> servers;
    if (!next_hop.mx_lookup) {
        servers.push_back(next_hop.host);
        co_return servers;
    }
    const Answer answer = co_await validating_.fresh(anchor).ask(next_hop.host, type_mx);
    if (answer.kind == Answer::Kind::failed) co_return std::nullopt;
    if (!answer.secure) co_return servers;
    if (answer.kind == Answer::Kind::no_data) servers.push_back(next_hop.host);
    for (const auto& rdata : answer.records)
        if (const auto record = parse_mx(rdata);
            record && !record->exchange.empty() && servers.size() < max_mx_hosts)
            servers.push_back(record->exchange);
    co_return servers;
}

// The best of a server's records; `malformed`: it has none. RFC 7672 section 2.2.2: where its
// addresses are not signed, TLSA records are not asked for.
asio::awaitable<std::optional<TlsaUse>> Resolver::Impl::tlsa_of(std::string server,
                                                                std::uint16_t port,
                                                                std::string anchor) {
    bool addresses_signed = false;
    for (const auto type : {type_a, type_aaaa}) {
        const Answer answer = co_await validating_.fresh(anchor).ask(server, type);
        if (answer.kind == Answer::Kind::failed) co_return std::nullopt;
        if (answer.kind != Answer::Kind::records) continue;
        if (!answer.secure) co_return TlsaUse::malformed;
        addresses_signed = true;
    }
    if (!addresses_signed) co_return TlsaUse::malformed;
    const auto name = tlsa_name(server, port);
    const Answer answer = co_await validating_.fresh(anchor).ask(name, type_tlsa);
    if (answer.kind == Answer::Kind::failed) co_return std::nullopt;
    auto best = TlsaUse::malformed;
    if (!answer.secure) co_return best;
    // A malformed record counts as one that cannot be used (RFC 7672 section 2.2).
    if (!answer.records.empty()) best = TlsaUse::unusable;
    for (const auto& rdata : answer.records)
        if (use_of_tlsa(rdata) == TlsaUse::usable) best = TlsaUse::usable;
    co_return best;
}

asio::awaitable<std::optional<DaneServers>> Resolver::Impl::dane(NextHop next_hop,
                                                                 std::uint16_t port,
                                                                 std::string anchor) {
    const auto servers = co_await signed_servers(std::move(next_hop), anchor);
    if (!servers) co_return std::nullopt;
    DaneServers found;
    found.servers = static_cast<std::uint32_t>(servers->size());
    for (const auto& server : *servers) {
        const auto use = co_await tlsa_of(server, port, anchor);
        if (!use) co_return std::nullopt;
        if (*use == TlsaUse::usable) ++found.usable;
        if (*use == TlsaUse::unusable) ++found.unusable;
    }
    co_return found;
}

asio::awaitable<std::optional<DaneServers>> Resolver::dane(NextHop next_hop, std::uint16_t port,
                                                           std::string trust_anchor,
                                                           std::chrono::milliseconds timeout) {
    if (next_hop.literal || trust_anchor.empty() || ::access(trust_anchor.c_str(), R_OK) != 0)
        co_return std::nullopt;
    auto work = impl_->dane(std::move(next_hop), port, std::move(trust_anchor));
    auto found = co_await with_deadline(timeout, std::move(work));
    co_return found ? *found : std::nullopt;
}

asio::awaitable<std::vector<std::string>> Resolver::texts(std::string name,
                                                          std::chrono::milliseconds timeout) {
    std::vector<std::string> found;
    auto work = impl_->context().ask(std::move(name), type_txt);
    const auto answer = co_await with_deadline(timeout, std::move(work));
    if (!answer || answer->kind != Answer::Kind::records) co_return found;
    for (const auto& rdata : answer->records)
        if (auto text = text_of_txt(rdata)) found.push_back(std::move(*text));
    co_return found;
}

std::vector<ResolvedHost> without_own(std::vector<ResolvedHost> hosts,
                                      const std::function<bool(const IpAddress&)>& is_own) {
    const auto own = std::find_if(hosts.begin(), hosts.end(), [&is_own](const ResolvedHost& host) {
        return std::any_of(host.addresses.begin(), host.addresses.end(), is_own);
    });
    if (own == hosts.end()) return hosts;
    const auto limit = own->preference;  // the best of ours, as they are sorted
    std::erase_if(hosts, [limit](const ResolvedHost& host) { return host.preference >= limit; });
    return hosts;
}

Resolver::Resolver() : impl_(std::make_unique<Impl>()) {}
Resolver::~Resolver() = default;

asio::awaitable<Result<Resolution>> Resolver::resolve(NextHop next_hop,
                                                      std::optional<IpFamily> family,
                                                      std::chrono::milliseconds timeout) {
    Lookup lookup{family, {}};
    if (next_hop.literal) {
        if (!lookup.wants(*next_hop.literal))
            co_return fail(ErrorCode::not_found,
                           next_hop.host + ": the address is not of the wanted family");
        Resolution resolution;
        resolution.hosts.push_back({"", {*next_hop.literal}});
        co_return resolution;
    }
    // Named, since g++ 12 destroys a coroutine made inside a conditional expression twice.
    auto work = next_hop.mx_lookup ? impl_->by_mx(next_hop.host, lookup)
                                   : impl_->by_address(next_hop.host, lookup);
    auto resolution = co_await with_deadline(timeout, std::move(work));
    if (!resolution)
        co_return fail(ErrorCode::timed_out,
                       next_hop.host + ": no answer from the name server in time");
    if (*resolution) (*resolution)->ttl = lookup.ttl;
    co_return std::move(*resolution);
}

}  // namespace postfathom
