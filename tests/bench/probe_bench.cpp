// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/probe_bench.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>

namespace postfathom::bench {

void give_up(const std::string& what) {
    fmt::print(stderr, "bench_probe: {}\n", what);
    std::exit(1);
}

void run(const std::string& command) {
    if (std::system(command.c_str()) != 0) give_up("this fails: " + command);
}

// A chain of two: ours is longer to verify than to sign for, so that the client is what is busy.
void make_certificates(const Files& files) {
    const std::string key =
        "openssl req -x509 -nodes -days 30 -newkey ec -pkeyopt ec_paramgen_curve:P-256 ";
    const auto log = " 2>>" + files["openssl.log"];
    run(key + "-subj '/CN=Example Root' -keyout " + files["root.key"] + " -out " +
        files["root.pem"] + log);
    run(key + "-subj /CN=mail.example.org -addext subjectAltName=DNS:mail.example.org -CA " +
        files["root.pem"] + " -CAkey " + files["root.key"] + " -keyout " + files["leaf.key"] +
        " -out " + files["leaf.pem"] + log);
    run("cat " + files["leaf.pem"] + " " + files["root.pem"] + " >" + files["chain.pem"]);
}

Server::Server(const Files& files, bool mute)
    : context_(server_context(files["chain.pem"], files["leaf.key"])),
      listening_(listen_on_loopback()),
      child_([&] { return serve(listening_, *context_, mute); }) {
    if (!context_ || !listening_.socket) give_up("no server");
    listening_.socket.reset();
}

Settings::Probe settings_of(const Files& files) {
    Settings::Probe settings;
    settings.ehlo_name = "client.example.org";
    settings.ca_file = files["root.pem"];
    return settings;
}

ProbeRequest request_to(std::uint16_t port) {
    ProbeRequest request;
    request.next_hop = NextHop{"127.0.0.1", false, IpAddress::parse("127.0.0.1"), port};
    request.verbatim = fmt::format("[127.0.0.1]:{}", port);
    request.name = "mail.example.org";
    request.service = Service::smtp;
    return request;
}

}  // namespace postfathom::bench
