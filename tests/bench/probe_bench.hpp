// SPDX-License-Identifier: Apache-2.0
// What the parts of bench_probe share: its options, the server, what is asked of the engine, and
// the table.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "probes/engine.hpp"
#include "tests/bench/child.hpp"
#include "tests/bench/mail_peer.hpp"
#include "tests/bench/row.hpp"
#include "tests/bench/temporary_directory.hpp"

namespace postfathom::bench {

namespace asio = boost::asio;

struct Options {
    double seconds = 2;
    int rounds = 5;
    int at_a_time = 32;
    int in_flight = 1000;
    int patience = 60;
};

[[noreturn]] void give_up(const std::string& what);

struct Files {
    TemporaryDirectory directory;
    std::string operator[](const char* name) const { return directory.path() / name; }
};
void make_certificates(const Files& files);

// Runs a line of sh(1), which has to succeed.
void run(const std::string& command);

class Server {
  public:
    Server(const Files& files, bool mute);
    std::uint16_t port() const { return listening_.port; }

  private:
    Context context_;
    Listening listening_;
    Child child_;
};

Settings::Probe settings_of(const Files& files);
ProbeRequest request_to(std::uint16_t port);

// In probe_memory.cpp.
void measure_memory(const Options& options, const Files& files);

}  // namespace postfathom::bench
