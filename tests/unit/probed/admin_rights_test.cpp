// SPDX-License-Identifier: Apache-2.0
// Who may ask what on the admin socket.
#include <doctest/doctest.h>

#include "probes/admin_request.hpp"

namespace postfathom {
namespace {

constexpr std::uint32_t own = 200;
constexpr std::uint32_t team = 300;

std::string name_of(std::uint32_t user) { return user == 1000 ? "ada" : "somebody"; }

std::string refused(const AdminPeer& peer, const AdminRights& rights, const char* method) {
    const auto reply = refuse_peer(peer, rights, {method, "/v1/status", "localhost"}, &name_of);
    if (!reply) return "";
    CHECK(reply->status == 403);
    const auto& error = reply->body.at("error").as_object();
    CHECK(error.at("code").as_string() == "not-permitted");
    return std::string(error.at("message").as_string());
}

constexpr std::uint32_t milter = 400;
const AdminRights by_default{
    own, {false, {}, {team}, {"@postfathom"}}, {false, {}, {team}, {"@postfathom"}}, {milter}};

}  // namespace

TEST_CASE("root, the daemon's own user and the group postfathom may read and change") {
    for (const auto* method : {"GET", "POST", "DELETE"}) {
        CHECK(refused({0, {0}}, by_default, method).empty());
        CHECK(refused({own, {own}}, by_default, method).empty());
        CHECK(refused({1000, {1000, 27, team}}, by_default, method).empty());
        CHECK_FALSE(refused({1000, {1000, 27}}, by_default, method).empty());
        CHECK_FALSE(refused({1000, {}}, by_default, method).empty());
        // A group's number is no user's, and the other way round.
        CHECK_FALSE(refused({team, {1000}}, by_default, method).empty());
        CHECK_FALSE(refused({1000, {0, own}}, by_default, method).empty());
    }
}

TEST_CASE("another daemon is in the group for the cache, and is let in nowhere") {
    auto all = by_default;
    all.readers.all = all.changers.all = true;
    for (const auto* method : {"GET", "POST", "DELETE"}) {
        CHECK_FALSE(refused({milter, {milter, team}}, by_default, method).empty());
        CHECK_FALSE(refused({milter, {milter, team}}, all, method).empty());
    }
    auto same = by_default;  // all daemons run as one user
    same.own_user = milter;
    CHECK(refused({milter, {milter}}, same, "POST").empty());
}

TEST_CASE("readers read, changers do both") {
    const AdminRights rights{own, {false, {1000}, {}, {"ada"}}, {false, {}, {team}, {"@ops"}}};
    CHECK(refused({1000, {1000}}, rights, "GET").empty());
    CHECK_FALSE(refused({1000, {1000}}, rights, "POST").empty());
    CHECK_FALSE(refused({1000, {1000}}, rights, "DELETE").empty());
    CHECK_FALSE(refused({1000, {1000}}, rights, "BREW").empty());
    CHECK(refused({1001, {team}}, rights, "GET").empty());
    CHECK(refused({1001, {team}}, rights, "DELETE").empty());
    CHECK_FALSE(refused({1001, {1001}}, rights, "GET").empty());
}

TEST_CASE("the word for all lets everybody in, for what it stands beside") {
    const AdminRights rights{own, {true, {}, {}, {"*"}}, {false, {}, {}, {}}};
    CHECK(refused({4711, {}}, rights, "GET").empty());
    CHECK(refused({unknown_account, {unknown_account}}, rights, "GET").empty());
    CHECK_FALSE(refused({4711, {}}, rights, "POST").empty());
    const AdminRights open{own, {}, {true, {}, {}, {"*"}}};
    CHECK(refused({4711, {}}, open, "GET").empty());
    CHECK(refused({4711, {}}, open, "POST").empty());
}

TEST_CASE("an account that the kernel cannot tell is nobody that was named") {
    const AdminRights rights{own,
                             {false, {unknown_account}, {unknown_account}, {"nobody", "@nogroup"}},
                             {false, {unknown_account}, {unknown_account}, {"nobody", "@nogroup"}}};
    CHECK_FALSE(refused({unknown_account, {unknown_account}}, rights, "GET").empty());
    CHECK_FALSE(refused({unknown_account, {unknown_account}}, rights, "POST").empty());
}

TEST_CASE("who is refused reads who he is, and who may") {
    const AdminRights rights{
        own, {false, {}, {}, {"@watchers"}}, {false, {}, {team}, {"@ops", "eve"}}};
    CHECK(refused({1000, {1000, 27}}, rights, "GET") ==
          "you are ada (user 1000, groups 1000, 27); reading is for root, somebody, admin.readers "
          "(@watchers) and admin.changers (@ops, eve)");
    CHECK(refused({1000, {}}, rights, "POST") ==
          "you are ada (user 1000, groups none); changing anything is for root, somebody and "
          "admin.changers (@ops, eve)");
}

}  // namespace postfathom
