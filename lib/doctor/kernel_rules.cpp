// SPDX-License-Identifier: Apache-2.0
// Settings of the kernel that decide what happens when packets do not fit.
#include <fmt/format.h>

#include "lib/doctor/rules.hpp"

namespace postfathom {

namespace {

void examine_mtu_probing(std::int64_t value, Findings& findings) {
    if (value == 1) {
        findings.push_back(
            {"tcp-mtu-probing", Severity::ok, "net.ipv4.tcp_mtu_probing is 1", "", {}});
        return;
    }
    if (value == 0) {
        findings.push_back(
            {"tcp-mtu-probing",
             Severity::notice,
             "net.ipv4.tcp_mtu_probing is 0",
             "With 1 the kernel tries smaller segments after large ones have vanished for some "
             "seconds, and what this host sends gets through a black hole. It mends nothing in the "
             "other direction, where handshakes hang.",
             {"sysctl -w net.ipv4.tcp_mtu_probing=1",
              "echo net.ipv4.tcp_mtu_probing=1 >/etc/sysctl.d/60-mtu-probing.conf"}});
        return;
    }
    findings.push_back(
        {"tcp-mtu-probing",
         Severity::warning,
         fmt::format("net.ipv4.tcp_mtu_probing is {}: each connection begins with small segments",
                     value),
         "Everything is slower, also where nothing is wrong, and a path is never seen to carry "
         "full "
         "packets before TCP has searched. 1 does the same only where packets vanish.",
         {"sysctl -w net.ipv4.tcp_mtu_probing=1"}});
}

void examine_discovery(std::int64_t value, Findings& findings) {
    if (value == 0) return;
    findings.push_back(
        {"no-pmtu-discovery",
         Severity::warning,
         fmt::format("net.ipv4.ip_no_pmtu_disc is {}: path MTU discovery is off or hardened away",
                     value),
         "Packets go out without \"don't fragment\", and ICMP errors are not heeded as they should "
         "be: routers fragment, and many firewalls drop fragments.",
         {"sysctl -w net.ipv4.ip_no_pmtu_disc=0"}});
}

void examine_ping_groups(const KernelFacts& kernel, const DoctorFacts& facts, Findings& findings) {
    const auto [first, last] = *kernel.ping_groups;
    if (!facts.prober || !facts.prober->account) return;
    for (const auto group : facts.prober->account->groups) {
        if (group < first || group > last) continue;
        findings.push_back({"ping-group-range",
                            Severity::ok,
                            "net.ipv4.ping_group_range lets postfathom-probed send ICMP echoes",
                            "",
                            {}});
        return;
    }
    findings.push_back(
        {"ping-group-range",
         Severity::notice,
         fmt::format("net.ipv4.ping_group_range is {} {}: postfathom-probed may not send ICMP "
                     "echoes",
                     first, last),
         "Probes work without; with them a report can name the router behind which packets do not "
         "fit.",
         {"sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"   # Debian's usual value"}});
}

}  // namespace

void examine_kernel(const KernelFacts& kernel, const DoctorFacts& facts, Findings& findings) {
    if (kernel.tcp_mtu_probing) examine_mtu_probing(*kernel.tcp_mtu_probing, findings);
    if (kernel.no_pmtu_disc) examine_discovery(*kernel.no_pmtu_disc, findings);
    if (kernel.ping_groups) examine_ping_groups(kernel, facts, findings);
}

}  // namespace postfathom
