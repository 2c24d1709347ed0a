// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <boost/json/serialize.hpp>

#include "lib/cache/client_codec.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

ClientRecord full_record() {
    ClientRecord record;
    record.network = "192.0.2.0/24";
    record.day = {sample::at(1'795'400'000), {10, 2, 3, 4}};
    record.day_before = ClientDay{sample::at(1'795'300'000), {5, 6, 7, 8}};
    record.tls = ClientTls{"TLSv1.3", "TLS_AES_256_GCM_SHA384", 256};
    record.tls_at = sample::at(1'795'400'001);
    record.plain_at = sample::at(1'795'400'002);
    record.failed_at = sample::at(1'795'400'003);
    record.lost_at = sample::at(1'795'400'004);
    record.measured_at = sample::at(1'795'400'005);
    return record;
}

ClientRecord of_network(std::string network, std::int64_t seconds) {
    ClientRecord record;
    record.network = std::move(network);
    record.day = {sample::at(seconds), {0, 1, 0, 0}};
    record.plain_at = record.measured_at = sample::at(seconds);
    return record;
}

}  // namespace

TEST_CASE("a client record reads as it was written") {
    for (const auto& record : {full_record(), of_network("2001:db8:1::/48", 1'795'400'000)}) {
        const auto bytes = encode(record);
        CAPTURE(bytes);
        const auto read = decode_client(bytes);
        REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
        CHECK(*read == record);
    }
}

TEST_CASE("a client record that is cut, broken or of no whole network is refused") {
    const auto whole = encode(full_record());
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_FALSE(decode_client(std::string_view(whole).substr(0, length)));
    for (const auto* bad :
         {"null", "[]", "{}", R"({"v":2,"network":"192.0.2.0/24","since":1,"measured_at":1})",
          R"({"v":1,"network":"192.0.2.1/24","since":1,"measured_at":1})",
          R"({"v":1,"network":"example.org","since":1,"measured_at":1})",
          R"({"v":1,"network":"192.0.2.0/24","since":1})",
          R"({"v":1,"network":"192.0.2.0/24","since":1,"measured_at":1,"tls":-1})",
          R"({"v":1,"network":"192.0.2.0/24","since":1,"measured_at":1,"day_before":5})",
          R"({"v":1,"network":"192.0.2.0/24","since":1,"measured_at":1,"version":"TLS\n"})"}) {
        CAPTURE(bad);
        CHECK_FALSE(decode_client(bad));
    }
}

TEST_CASE("an operator sees what is recent, and null where nothing is known") {
    const auto shown = to_json(full_record(), sample::at(1'795'410'000));
    CHECK(shown.at("tls_sessions").to_number<int>() == 15);
    CHECK(shown.at("lost_in_data").to_number<int>() == 12);
    CHECK(shown.at("tls").at("version").get_string() == "TLSv1.3");
    CHECK(shown.at("tls").at("bits").to_number<int>() == 256);
    const auto plain =
        to_json(of_network("192.0.2.0/24", 1'795'400'000), sample::at(1'795'400'000));
    CHECK(plain.at("tls").is_null());
    CHECK(plain.at("tls_at").is_null());
    CHECK(plain.at("plain_sessions").to_number<int>() == 1);
}

TEST_CASE("clients are stored, found by address, listed in order, and age") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    CacheChange change;
    change.clients = {full_record(), of_network("198.51.100.0/24", 1'700'000'000),
                      of_network("2001:db8:1::/48", 1'795'400'000)};
    REQUIRE((*writer)->store(change));

    const auto reader = open_cache_for_reading(directory.path());
    const auto known = reader->client_at(*IpAddress::parse("192.0.2.77"));
    REQUIRE(known);
    CHECK(*known == full_record());
    CHECK(reader->client_at(*IpAddress::parse("2001:db8:1:ffff::1")));
    CHECK_FALSE(reader->client_at(*IpAddress::parse("192.0.3.1")));
    CHECK(reader->counters().clients == 3);
    std::vector<std::string> listed;
    reader->for_each_client("192.0.2.0/24", [&](const ClientRecord& record) {
        listed.push_back(record.network);
        return true;
    });
    CHECK(listed == std::vector<std::string>{"198.51.100.0/24", "2001:db8:1::/48"});

    CHECK((*writer)->remove_older_than(sample::at(1'795'000'000), 10).value_or(0) == 1);
    CHECK_FALSE(reader->client_at(*IpAddress::parse("198.51.100.1")));
    CHECK(reader->counters().clients == 2);
}

TEST_CASE("networks beyond the limit push out those heard of longest ago") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{16} << 20, 100});
    REQUIRE(writer);
    for (int third = 0; third < 3; ++third)
        for (int fourth = 0; fourth < 80; ++fourth) {
            CacheChange change;
            change.clients = {
                of_network("10." + std::to_string(third) + '.' + std::to_string(fourth) + ".0/24",
                           1'795'400'000 + third * 1000 + fourth)};
            REQUIRE((*writer)->store(change));
        }
    CHECK((*writer)->counters().clients <= 100);
    CHECK((*writer)->client("10.2.79.0/24"));
    CHECK_FALSE((*writer)->client("10.0.0.0/24"));
}

}  // namespace postfathom
