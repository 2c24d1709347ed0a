// SPDX-License-Identifier: Apache-2.0
// postfathom-policyd beside a null server, which answers without looking at what it reads, and
// beside servers of Debian that speak the same protocols: the same load, in alternating rounds.
// What counts is the ratio, for it depends little on the machine.
//   bench_policy [--seconds 1] [--rounds 5] [--destinations 100000] [--connections N]
//                [--policyd PROGRAM] [--others DIRECTORY]
// Exit status 0 when every aim is met, 2 when not.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string_view>

#include "tests/bench/filled_cache.hpp"
#include "tests/bench/other_servers.hpp"
#include "tests/bench/policy_load.hpp"
#include "tests/bench/row.hpp"

namespace postfathom {
namespace {

using bench::Load;
using bench::Round;
using bench::Server;

constexpr double least_of_null = 0.7;
constexpr double most_p99_of_null = 2;

struct Options {
    double seconds = 1;
    int rounds = 5;
    int destinations = 100'000;
    int connections = 0;  // 0: 1, 10 and 100
    std::string policyd = POLICYD_PROGRAM;
    std::string others = OTHER_SERVERS;
};

// As smtpd(8) of Postfix 3.7 sends it at RCPT to a client without TLS: every attribute, in its
// order.
std::string policy_request(int number) {
    return fmt::format(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
        "client_address=192.0.2.{}\nclient_name=client.example.com\nclient_port=41{:03}\n"
        "reverse_client_name=client.example.com\nserver_address=192.0.2.250\nserver_port=25\n"
        "helo_name=client.example.com\nsender=sender@example.com\nrecipient=user@{}\n"
        "recipient_count=0\nqueue_id=\ninstance=1a2b.{:x}.{:x}.0\nsize=12345\netrn_domain=\nstress="
        "\n"
        "sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n"
        "ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\n"
        "encryption_keysize=0\npolicy_context=\n\n",
        number % 250, number % 1000, bench::domain(number), number, number * 7919);
}

std::string netstring(const std::string& text) {
    return std::to_string(text.size()) + ":" + text + ",";
}

// smtp_tls_policy_maps asks for the next hop.
std::string tls_request(int number) { return netstring("tls " + bench::relay(number)); }

// smtp_delivery_status_filter asks about every recipient: most are delivered.
std::string dsn_request(int number) {
    const auto text =
        bench::ill_destination(number)
            ? fmt::format(
                  "4.4.2 lost connection with mx{}.example.net[{}]:25 while sending message body",
                  number, bench::address(number))
            : fmt::format("2.0.0 250 2.0.0 Ok: queued as 4595{:07X}", number);
    return netstring("dsn " + text);
}

std::string sts_request(int number) { return netstring("postfix " + bench::domain(number)); }

int run_policyd(const std::string& program, const std::string& config) {
    const Descriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    ::dup2(nowhere.get(), STDERR_FILENO);
    ::execl(program.c_str(), program.c_str(), "--config", config.c_str(), nullptr);
    return 127;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

// One server under a load, over the rounds.
struct Contender {
    Contender(const Server& asked, int connections, const std::vector<std::string>& requests)
        : server(asked), load(asked, connections, requests) {}
    const Server& server;
    Load load;
    std::vector<Round> rounds;

    double of(double Round::* number) const {
        std::vector<double> values;
        for (const auto& round : rounds) values.push_back(round.*number);
        return median(values);
    }
    // Of our rounds to those beside them.
    double ratio(const Contender& other, double Round::* number) const {
        std::vector<double> values;
        for (std::size_t i = 0; i < rounds.size(); ++i)
            values.push_back(rounds[i].*number / (other.rounds[i].*number));
        return median(values);
    }
};

struct Rival {
    const Server* server;
    const std::vector<std::string>* requests;
    double least_ratio;
};

class Bench {
  public:
    explicit Bench(const Options& options) : options_(options) {}
    bool reached() const { return reached_; }

    // Ours and the null server, and others of the same protocol.
    void compare(const char* what, const Server& null, const Server& ours,
                 const std::vector<std::string>& requests, const std::vector<Rival>& rivals) {
        std::vector<int> all = {1, 10, 100};
        if (options_.connections > 0) all = {options_.connections};
        for (const int connections : all)
            compare_at(connections, what, null, ours, requests, rivals);
    }

  private:
    void compare_at(int connections, const char* what, const Server& null, const Server& ours,
                    const std::vector<std::string>& requests, const std::vector<Rival>& rivals) {
        std::vector<std::unique_ptr<Contender>> all;
        all.push_back(std::make_unique<Contender>(ours, connections, requests));
        all.push_back(std::make_unique<Contender>(null, connections, requests));
        for (const auto& rival : rivals)
            all.push_back(std::make_unique<Contender>(*rival.server, connections, *rival.requests));
        // The aims are about a warm cache.
        for (std::uint64_t asked = 0; asked < requests.size();) {
            const auto answers = all[0]->load.run(options_.seconds).answers;
            if (answers == 0) break;
            asked += answers;
        }
        for (int i = 0; i < options_.rounds; ++i)
            for (auto& contender : all)
                contender->rounds.push_back(contender->load.run(options_.seconds));
        print(connections, what, *all[0], *all[1], fmt::format("at least {}", least_of_null),
              fmt::format("at most {}", most_p99_of_null));
        for (std::size_t i = 0; i < rivals.size(); ++i)
            print(connections, what, *all[0], *all[i + 2],
                  fmt::format("at least {}", rivals[i].least_ratio), "");
        if (std::any_of(all[0]->rounds.begin(), all[0]->rounds.end(),
                        [](const Round& round) { return round.findings == 0; }))
            miss(what, "policyd found no ill destination: it did not look");
        aim(what, "requests/s to the null server",
            all[0]->ratio(*all[1], &Round::per_second) >= least_of_null);
        aim(what, "p99 to the null server",
            all[0]->ratio(*all[1], &Round::p99_us) <= most_p99_of_null);
        for (std::size_t i = 0; i < rivals.size(); ++i) judge(what, rivals[i], all, i + 2);
    }

    // One request at a time measures the way to a server and back, which is the same for all: where
    // a server that does nothing is hardly that much faster, nobody can be.
    void judge(const char* what, const Rival& rival,
               const std::vector<std::unique_ptr<Contender>>& all, std::size_t index) {
        const auto possible = all[1]->ratio(*all[index], &Round::per_second);
        if (possible * least_of_null < rival.least_ratio)
            std::printf(
                "%-7s not judged beside %s: the null server itself has %.2f of its "
                "requests/s\n",
                what, rival.server->name().c_str(), possible);
        else
            aim(what, rival.server->name().c_str(),
                all[0]->ratio(*all[index], &Round::per_second) >= rival.least_ratio);
    }

    static void print(int connections, const char* what, const Contender& ours,
                      const Contender& other, const std::string& least, const std::string& most) {
        const auto name = fmt::format("{}, {} connections", what, connections);
        if (ours.of(&Round::per_second) <= 0 || other.of(&Round::per_second) <= 0) {
            std::printf("%s: %s did not answer as it should\n", name.c_str(),
                        ours.of(&Round::per_second) <= 0 ? "policyd" : other.server.name().c_str());
            return;
        }
        const auto row = [&](const char* of, double Round::* number, const char* unit,
                             const std::string& aim) {
            bench::print({name + ": " + of, fmt::format("{:.1f} {}", ours.of(number), unit),
                          other.server.name(), fmt::format("{:.1f} {}", other.of(number), unit),
                          bench::two_digits(ours.ratio(other, number)), aim});
        };
        row("answers", &Round::per_second, "/s", least);
        row("p99", &Round::p99_us, "us", most);
        row("processor time", &Round::cpu_us, "us", "");
    }

    void aim(const char* what, const char* which, bool met) {
        if (!met) miss(what, which);
    }
    void miss(const char* what, const char* which) {
        std::printf("%-7s MISSED: %s\n", what, which);
        reached_ = false;
    }

    const Options& options_;
    bool reached_ = true;
};

std::string write_config(const std::filesystem::path& directory) {
    const auto at = [&directory](const char* name) { return (directory / name).string(); };
    std::ofstream(at("postfathom.toml"))
        << "[cache]\ndirectory = \"" << at("cache") << "\"\n[notice]\nsocket = \""
        << at("notice.sock") << "\"\n[mail_log]\nfile = \"\"\n[policy]\nsocket = \""
        << at("policy.sock") << "\"\nmode = \"warn\"\n[dsn]\nsocket = \"" << at("dsn.sock")
        << "\"\n[tls]\nfloor = \"may\"\n[tables]\nsocket = \"" << at("tables.sock")
        << "\"\ntls_next_hops = [\"*\"]\n";
    return at("postfathom.toml");
}

std::vector<std::string> requests_of(const std::vector<int>& order, std::string (*request)(int)) {
    std::vector<std::string> requests;
    for (const auto number : order) requests.push_back(request(number));
    return requests;
}

int run(const Options& options) {
    const bench::TemporaryDirectory directory;
    std::filesystem::create_directory(directory.path() / "cache");
    if (!bench::fill_cache(directory.path() / "cache", options.destinations)) return 2;
    const auto config = write_config(directory.path());
    const auto at = [&](const char* name) { return (directory.path() / name).string(); };

    std::vector<int> order(static_cast<std::size_t>(options.destinations));
    for (int i = 0; i < options.destinations; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937(1));  // NOLINT: the same in every run
    const auto policy = requests_of(order, policy_request);
    const auto tls = requests_of(order, tls_request);
    const auto dsn = requests_of(order, dsn_request);
    const auto sts = requests_of(order, sts_request);

    const Server null("null server", at("null.sock"),
                      [&] { return bench::serve_null(at("null.sock")); });
    const Server ours("postfathom-policyd", at("policy.sock"),
                      [&] { return run_policyd(options.policyd, config); });
    const Server our_tables(ours, at("tables.sock"));
    const Server our_dsn(ours, at("dsn.sock"));
    for (const auto* server : {&null, &ours, &our_tables, &our_dsn})
        if (!server->ready()) {
            std::fprintf(stderr, "%s: no server there after 20 s\n", server->place().c_str());
            return 2;
        }

    std::vector<std::unique_ptr<Server>> running;
    std::vector<Rival> policy_rivals;
    std::vector<Rival> map_rivals;
    for (const auto& other :
         bench::other_servers(options.others, directory.path(), options.destinations)) {
        if (!other.work) {
            std::printf("skipped: %s: %s\n", other.name.c_str(), other.why_not.c_str());
            continue;
        }
        auto server = std::make_unique<Server>(other.name, other.place, other.work);
        if (!server->ready()) {
            std::printf("skipped: %s: it did not start; it may lack a package it depends on\n",
                        other.name.c_str());
            continue;
        }
        (other.policy ? policy_rivals : map_rivals)
            .push_back({server.get(), other.policy ? &policy : &sts, other.least_ratio});
        running.push_back(std::move(server));
    }
    std::printf("%d destinations, policy requests of %zu bytes, %d rounds of %.1f s each\n",
                options.destinations, policy[0].size(), options.rounds, options.seconds);
    Bench measured(options);
    measured.compare("policy", null, ours, policy, policy_rivals);
    measured.compare("tls", null, our_tables, tls, map_rivals);
    measured.compare("dsn", null, our_dsn, dsn, {});
    std::printf("aims: %s\n", measured.reached() ? "all met" : "missed, see above");
    return measured.reached() ? 0 : 2;
}

bool read_number(std::string_view text, auto& number) {
    const auto end = text.data() + text.size();
    return std::from_chars(text.data(), end, number).ptr == end && number > 0;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    postfathom::Options options;
    bool understood = argc % 2 == 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--seconds")
            understood = understood && postfathom::read_number(argv[i + 1], options.seconds);
        else if (name == "--rounds")
            understood = understood && postfathom::read_number(argv[i + 1], options.rounds);
        else if (name == "--destinations")
            understood = understood && postfathom::read_number(argv[i + 1], options.destinations);
        else if (name == "--connections")
            understood = understood && postfathom::read_number(argv[i + 1], options.connections);
        else if (name == "--policyd")
            options.policyd = argv[i + 1];
        else if (name == "--others")
            options.others = argv[i + 1];
        else
            understood = false;
    }
    if (!understood) {
        std::fprintf(stderr,
                     "usage: bench_policy [--seconds 1] [--rounds 5] [--destinations 100000] "
                     "[--connections N] [--policyd PROGRAM] [--others DIRECTORY]\n");
        return 2;
    }
    return postfathom::run(options);
}
