// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/record_codec.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <random>

#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

EndpointRecord sample_endpoint() {
    EndpointRecord record{sample::endpoint("2001:db8::1", 587, "mx.example.net"),
                          sample::black_hole(),
                          {"example.org", "[mail.example.org]:587"}};
    record.starttls_seen = sample::at(1'795'400'000);
    return record;
}

// Decodes, and when that works checks that encoding what was read reads the same again.
template <typename Record>
bool reads(std::string_view bytes, Result<Record> (*decode)(std::string_view)) {
    const auto record = decode(bytes);
    if (!record) {
        CHECK(record.error().code == ErrorCode::corrupt);
        CHECK_FALSE(record.error().message.empty());
        CHECK(record.error().message.size() < 1024);
        return false;
    }
    const auto again = decode(encode(*record));
    REQUIRE(again);
    CHECK(*again == *record);
    return true;
}

template <typename Record>
void mutate(const Record& record, Result<Record> (*decode)(std::string_view)) {
    const auto bytes = encode(record);
    REQUIRE(reads(bytes, decode));
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_FALSE(reads(std::string_view(bytes).substr(0, length), decode));

    std::mt19937 random(20260823);  // NOLINT: the same mutations every time
    std::size_t valid = 0;
    std::size_t refused = 0;
    for (int i = 0; i < 4000; ++i) {
        auto changed = bytes;
        for (auto changes = 1 + random() % 4; changes > 0; --changes) {
            const auto place = random() % changed.size();
            switch (random() % 4) {
                case 0:
                    changed[place] = static_cast<char>(random());
                    break;
                case 1:
                    changed.erase(place, 1 + random() % 8);
                    break;
                case 2:
                    changed.insert(place, 1, "{}[]\",:0e-\\u"[random() % 12]);
                    break;
                default:
                    changed.insert(place, changed.substr(random() % changed.size(), 12));
                    break;
            }
            if (changed.empty()) changed = "0";
        }
        ++(reads(changed, decode) ? valid : refused);
    }
    CHECK(valid > 0);
    CHECK(refused > 1000);
}

}  // namespace

TEST_CASE("every record reads as it was written") {
    auto next_hop = sample::next_hop("example.org");
    CHECK(decode_next_hop(encode(next_hop)) == next_hop);
    next_hop.tls_seen = sample::at(1'795'403'700);
    next_hop.tls_floor = TlsLevel::dane_only;
    CHECK(decode_next_hop(encode(next_hop)) == next_hop);
    next_hop.addresses_expire.reset();
    next_hop.endpoints.clear();
    next_hop.verdict = sample::healthy();
    CHECK(decode_next_hop(encode(next_hop)) == next_hop);
    next_hop.next_hop = "[IPv6:2001:db8::1]:587";
    CHECK(decode_next_hop(encode(next_hop)) == next_hop);

    CHECK(decode_endpoint(encode(sample_endpoint())) == sample_endpoint());
    auto bare = sample_endpoint();
    bare.endpoint.name.clear();
    bare.next_hops.clear();
    CHECK(decode_endpoint(encode(bare)) == bare);

    auto path = sample::path("192.0.2.7", "198.51.100.1");
    CHECK(decode_path(encode(path)) == path);
    path.inbound.reset();
    path.inbound_exact = false;
    path.outbound = PathMtu{1500};
    path.outbound_exact = true;
    path.interface_mtu = PathMtu{65536};  // loopback
    CHECK(decode_path(encode(path)) == path);

    auto route = sample::route("example.com");
    CHECK(decode_route(encode(route)) == route);
    route.from_log = true;
    CHECK(decode_route(encode(route)) == route);
    route.transport.clear();
    route.verbatim.clear();
    CHECK(decode_route(encode(route)) == route);
}

TEST_CASE("what is remembered over time survives, and records from before there was any read") {
    auto next_hop = sample::next_hop("example.org");
    next_hop.verdict.path_mtu_exact = false;
    next_hop.verdict.path_mtu_below = PathMtu{1420};
    next_hop.verdict.suspected = Suspicion{DiagnosisId::unreachable, sample::at(1'795'400'100)};
    next_hop.verdict.varies = SizeRange{PathMtu{1400}, PathMtu{1500}};
    next_hop.verdict.comes_and_goes = true;
    CHECK(decode_next_hop(encode(next_hop)) == next_hop);

    auto endpoint = sample_endpoint();
    auto path = sample::path("192.0.2.7", "198.51.100.1");
    path.inbound_exact = false;
    path.inbound_fails = PathMtu{1420};
    path.outbound = PathMtu{1280};
    path.outbound_fails = PathMtu{1500};
    for (int i = 0; i < 20; ++i) {
        const auto at = sample::at(1'795'400'000 + i);
        endpoint.history.push_back({at, at, path.source, DiagnosisId::peer_stall, i % 2 == 0});
        PastSizes sizes{.since = at, .at = at};
        if (i % 3 != 0) sizes.inbound = PathMtu{1400};
        sizes.inbound_exact = i % 3 == 1;
        if (i % 2 == 0) sizes.outbound = PathMtu{1500};
        path.history.push_back(sizes);
    }
    const auto read_endpoint = decode_endpoint(encode(endpoint));
    REQUIRE(read_endpoint);
    CHECK(read_endpoint->history.size() == max_history);
    CHECK(read_endpoint->history.back() == endpoint.history.back());
    const auto read_path = decode_path(encode(path));
    REQUIRE(read_path);
    CHECK(read_path->history.size() == max_history);
    CHECK(read_path->history.back() == path.history.back());
    CHECK(read_path->inbound_fails == PathMtu{1420});
    CHECK(read_path->outbound_fails == PathMtu{1500});

    const auto old =
        decode_path(R"({"v":1,"source":"192.0.2.7","destination":"198.51.100.1","inbound":1400,)"
                    R"("inbound_exact":true,"measured_at":1795400000000})");
    REQUIRE(old);
    CHECK(old->inbound == PathMtu{1400});
    CHECK_FALSE(old->inbound_fails);
    CHECK(old->history.empty());
}

TEST_CASE("every diagnosis, severity and direction survives") {
    for (const auto id : all_diagnosis_ids())
        for (const auto severity : {Severity::ok, Severity::notice, Severity::unknown,
                                    Severity::warning, Severity::critical})
            for (const auto direction :
                 {Direction::inbound, Direction::outbound, Direction::both}) {
                auto record = sample::next_hop("example.org");
                record.verdict.id = id;
                record.verdict.severity = severity;
                record.verdict.direction = direction;
                CHECK(decode_next_hop(encode(record)) == record);
            }
}

TEST_CASE("a record is readable in a dump and names its version") {
    const auto text = encode(sample::route("example.com"));
    CHECK(text ==
          R"({"v":1,"domain":"example.com","next_hop":"[mail.example.org]",)"
          R"("verbatim":"[mail.example.org]:25","transport":"smtp","learned_at":1795400000000})");
}

TEST_CASE("unknown fields are ignored, another version is refused") {
    CHECK(decode_route(R"({"v":1,"domain":"a.example","next_hop":"b.example","learned_at":5,)"
                       R"("later":{"deep":[1,2,{"x":null}]}})"));
    for (const auto* version : {"0", "2", "-1", "1.0", "\"1\"", "null", "1e0"})
        CHECK_FALSE(decode_route(fmt::format(
            R"({{"v":{},"domain":"a.example","next_hop":"b.example","learned_at":5}})", version)));
    CHECK_FALSE(decode_route(R"({"domain":"a.example","next_hop":"b.example","learned_at":5})"));
}

TEST_CASE("values out of range are refused with the field, what was found and what was expected") {
    struct Bad {
        const char* from;
        const char* to;
        const char* field;
    };
    const Bad cases[] = {
        {"\"path_mtu\":1400", "\"path_mtu\":65576", "path_mtu"},
        {"\"path_mtu\":1400", "\"path_mtu\":-1", "path_mtu"},
        {"\"path_mtu\":1400", "\"path_mtu\":1400.5", "path_mtu"},
        {"\"path_mtu\":1400", "\"path_mtu\":18446744073709551615", "path_mtu"},
        {"\"path_mtu\":1400", "\"path_mtu\":null", "path_mtu"},
        {"\"usable_mss\":1360", "\"usable_mss\":\"1360\"", "usable_mss"},
        {"\"pmtu-black-hole\"", "\"wormhole\"", "id"},
        {"\"critical\"", "\"catastrophic\"", "severity"},
        {"\"inbound\"", "\"sideways\"", "direction"},
        {"\"path_mtu_exact\":true", "\"path_mtu_exact\":1", "path_mtu_exact"},
        {"\"measured_at\":1795400000000", "\"measured_at\":253402300800000", "measured_at"},
        {"\"port\":25", "\"port\":0", "port"},
        {"\"port\":25", "\"port\":65536", "port"},
        {"\"192.0.2.1\"", "\"192.0.2.256\"", "address"},
        {"\"smtp\"", "\"gopher\"", "service"},
        {"\"example.org\"", "\"Example.org\"", "next_hop"},
        {"\"example.org\"", "\"example org\"", "next_hop"},
        {"\"example.org\"", "\"\"", "next_hop"},
        {"\"mail.example.org\"", "\"mail\\u0007\"", "name"},
        {"\"mail.example.org\"", "\"m\xc3\xa4il\"", "name"},
    };
    const auto good = encode(sample::next_hop("example.org"));
    for (const auto& bad : cases) {
        CAPTURE(bad.to);
        auto text = good;
        const auto place = text.find(bad.from);
        REQUIRE(place != std::string::npos);
        text.replace(place, std::string_view(bad.from).size(), bad.to);
        const auto record = decode_next_hop(text);
        REQUIRE_FALSE(record);
        CHECK(record.error().message.find(bad.field) != std::string::npos);
        CHECK(record.error().message.find("expected") != std::string::npos);
    }
}

TEST_CASE("hostile bytes are refused") {
    const std::string deep = "{\"v\":1,\"x\":" + std::string(10'000, '[');
    const std::string long_text(max_record_bytes + 1, ' ');
    for (const std::string& bytes :
         {std::string(), std::string(1, '\0'), deep, long_text, std::string("[]"), std::string("1"),
          std::string("{\"v\":1}"), std::string("{\"v\":1,\"next_hop\":{}}"),
          std::string("\xff\xfe{\"v\":1}"), encode(sample::next_hop("example.org")) + "}"}) {
        CHECK_FALSE(decode_next_hop(bytes));
        CHECK_FALSE(decode_endpoint(bytes));
        CHECK_FALSE(decode_path(bytes));
        CHECK_FALSE(decode_route(bytes));
    }
}

TEST_CASE("truncated and mutated records are refused or valid") {
    SUBCASE("next hop") { mutate(sample::next_hop("example.org"), &decode_next_hop); }
    SUBCASE("endpoint") { mutate(sample_endpoint(), &decode_endpoint); }
    SUBCASE("path") { mutate(sample::path("192.0.2.7", "2001:db8::7"), &decode_path); }
    SUBCASE("path with a history") {
        auto path = sample::path("192.0.2.7", "2001:db8::7");
        path.history = {
            {.since = path.measured_at, .at = path.measured_at, .inbound = PathMtu{1400}}};
        mutate(path, &decode_path);
    }
    SUBCASE("route") { mutate(sample::route("example.com"), &decode_route); }
}

TEST_CASE("what a careless writer hands over is bounded and can be read") {
    auto route = sample::route("example.com");
    route.verbatim = std::string(5000, 'x');
    route.transport = "smtp\n\x1b[31m";
    route.learned_at = WallTime{std::chrono::milliseconds{-5}};
    const auto read = decode_route(encode(route));
    REQUIRE(read);
    CHECK(read->verbatim.size() == 1024);
    CHECK(read->transport == "smtp??[31m");
    CHECK(read->learned_at == WallTime{});

    auto next_hop = sample::next_hop("example.org");
    next_hop.verdict.path_mtu = PathMtu{4'000'000'000};
    next_hop.endpoints.assign(500, sample::endpoint());
    const auto bounded = decode_next_hop(encode(next_hop));
    REQUIRE(bounded);
    CHECK(bounded->endpoints.size() == 64);
    CHECK(bounded->verdict.path_mtu == PathMtu{65575});
}

TEST_CASE("the admin socket's verdict has every field, null when unknown") {
    const auto known = to_json(sample::black_hole());
    CHECK(known.at("id") == "pmtu-black-hole");
    CHECK(known.at("direction") == "inbound");
    CHECK(known.at("path_mtu") == 1400);
    CHECK(known.at("usable_mss") == 1360);
    CHECK(known.at("measured_at") == "2026-11-23T02:13:20Z");
    const auto unknown = to_json(sample::healthy());
    CHECK(unknown.at("path_mtu").is_null());
    CHECK(unknown.at("usable_mss").is_null());
    CHECK(unknown.at("direction").is_null());
}

}  // namespace postfathom
