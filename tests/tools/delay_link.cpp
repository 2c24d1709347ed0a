// SPDX-License-Identifier: Apache-2.0
// A wire with a length: two TUN interfaces (Documentation/networking/tuntap.rst of Linux), and what
// leaves one arrives at the other after a fixed time. For kernels without netem, which does the
// same better.
//   delay_link INTERFACE INTERFACE MILLISECONDS
// Makes the interfaces in the network namespace it is started in; they may be moved from there.
// Prints "ready" when they are there; serves until it is killed, which takes them away.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>

#include "lib/base/descriptor.hpp"

using namespace postfathom;

namespace {

using Clock = std::chrono::steady_clock;

Descriptor make_interface(const char* name) {
    Descriptor tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (!tun || ::ioctl(tun.get(), TUNSETIFF, &request) != 0) {
        std::fprintf(stderr, "delay_link: %s: %s\n", name, std::strerror(errno));
        std::exit(1);
    }
    return tun;
}

struct Packet {
    Clock::time_point due;
    std::string bytes;
};

// One direction.
class Way {
  public:
    Way(int from, int to, Clock::duration takes) : from_(from), to_(to), takes_(takes) {}

    void take() {
        std::array<char, 65536> buffer;  // NOLINT: written before it is read
        while (true) {
            const auto length = ::read(from_, buffer.data(), buffer.size());
            if (length <= 0) return;
            under_way_.push_back({Clock::now() + takes_,
                                  std::string(buffer.data(), static_cast<std::size_t>(length))});
        }
    }

    // What cannot be delivered, since the interface is down, is lost.
    void deliver() {
        while (!under_way_.empty() && under_way_.front().due <= Clock::now()) {
            const auto& bytes = under_way_.front().bytes;
            (void)!::write(to_, bytes.data(), bytes.size());
            under_way_.pop_front();
        }
    }

    Clock::time_point next() const {
        return under_way_.empty() ? Clock::time_point::max() : under_way_.front().due;
    }

  private:
    int from_;
    int to_;
    Clock::duration takes_;
    std::deque<Packet> under_way_;
};

// With a resolution that poll(2) does not have.
void wait(std::array<pollfd, 2>& interfaces, Clock::time_point until) {
    const auto left = std::max(until - Clock::now(), Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), (left - seconds).count()};
    const bool forever = until == Clock::time_point::max();
    ::ppoll(interfaces.data(), interfaces.size(), forever ? nullptr : &timeout, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    const double milliseconds = argc == 4 ? std::atof(argv[3]) : -1;
    if (milliseconds < 0) {
        std::fprintf(stderr, "delay_link INTERFACE INTERFACE MILLISECONDS\n");
        return 64;
    }
    const auto takes = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double, std::milli>(milliseconds));
    const auto here = make_interface(argv[1]);
    const auto there = make_interface(argv[2]);
    Way out(here.get(), there.get(), takes);
    Way back(there.get(), here.get(), takes);
    std::printf("ready\n");
    std::fflush(stdout);
    while (true) {
        std::array<pollfd, 2> interfaces{{{here.get(), POLLIN, 0}, {there.get(), POLLIN, 0}}};
        wait(interfaces, std::min(out.next(), back.next()));
        // One of them is gone, with the namespace that it was moved to.
        if (((interfaces[0].revents | interfaces[1].revents) & POLLERR) != 0) return 0;
        out.take();
        back.take();
        out.deliver();
        back.deliver();
    }
}
