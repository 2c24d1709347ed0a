// SPDX-License-Identifier: Apache-2.0
// What bench_policy measures with: servers as processes, and connections that ask them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lib/base/descriptor.hpp"

namespace postfathom::bench {

// A process that answers at a UNIX socket's path, or at ADDRESS:PORT. It ends with us.
class Server {
  public:
    Server(std::string name, std::string place, const std::function<int()>& work);
    // A process that is another's.
    Server(std::string name, std::string place, pid_t process)
        : name_(std::move(name)), place_(std::move(place)), process_(process), owned_(false) {}
    // Another socket of the same process, which has to outlive this.
    Server(const Server& same, std::string place)
        : name_(same.name_), place_(std::move(place)), process_(same.process_), owned_(false) {}
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    const std::string& name() const { return name_; }
    const std::string& place() const { return place_; }
    // Processor time used so far, in seconds.
    double used() const;
    // Whether it answers connections within some seconds.
    bool ready() const;

  private:
    std::string name_;
    std::string place_;
    pid_t process_;
    bool owned_ = true;
};

// Reads requests and answers each without looking at it: policy requests with DUNNO, socketmap
// requests with NOTFOUND.
int serve_null(const std::string& path);

struct Round {
    double per_second = 0;  // 0: the server did not answer as it should
    double p99_us = 0;
    double cpu_us = 0;  // of the server, per answer
    std::uint64_t answers = 0;
    std::uint64_t findings = 0;  // answers that say more than DUNNO and NOTFOUND
};

// Connections that ask one request after the other, each from a thread of its own and waiting for
// its answer, as the processes of Postfix do.
class Load {
  public:
    Load(const Server& server, int connections, const std::vector<std::string>& requests);
    bool connected() const { return connected_; }
    Round run(double seconds);

  private:
    struct Counted {
        std::vector<std::uint32_t> nanoseconds;
        std::uint64_t findings = 0;
    };
    void ask(int socket, Counted& result);

    const Server& server_;
    const std::vector<std::string>& requests_;
    std::vector<Descriptor> sockets_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> failed_{false};
    std::chrono::steady_clock::time_point end_{};
    bool connected_ = false;
};

}  // namespace postfathom::bench
