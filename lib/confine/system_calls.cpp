// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/system_calls.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

// By what they are for. Names of other architectures than x86-64 are among them.
constexpr const char* groups[]{
    // The process itself
    "arch_prctl brk capget exit exit_group futex futex_time64 futex_waitv get_robust_list "
    "get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups "
    "getgroups32 getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 "
    "getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 membarrier prctl "
    "prlimit64 restart_syscall riscv_flush_icache riscv_hwprobe rseq sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_yield set_robust_list set_thread_area set_tid_address set_tls setpgid setsid sysinfo "
    "times ugetrlimit umask uname",
    // Memory
    "cacheflush get_mempolicy madvise mlock mlock2 mremap msync munlock munmap",
    // Time
    "alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
    "clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create "
    "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
    "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64",
    // Signals, and the end of programs
    "kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack "
    "signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend tgkill tkill wait4 "
    "waitid waitpid",
    // Descriptors
    "close close_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait "
    "epoll_pwait2 epoll_wait eventfd eventfd2 fcntl fcntl64 ioctl pidfd_open pidfd_send_signal "
    "pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect",
    // Reading and writing
    "_llseek copy_file_range fadvise64 fadvise64_64 arm_fadvise64_64 lseek pread64 preadv preadv2 "
    "pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice tee vmsplice write "
    "writev",
    // Files
    "access chdir chmod creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 "
    "fdatasync fgetxattr flistxattr flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync "
    "ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr inotify_add_watch "
    "inotify_init inotify_init1 inotify_rm_watch lgetxattr link linkat listxattr llistxattr lstat "
    "lstat64 memfd_create mkdir mkdirat newfstatat open openat openat2 readdir readlink "
    "readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statx symlink "
    "symlinkat sync_file_range sync_file_range2 syncfs truncate truncate64 unlink unlinkat utime "
    "utimensat utimensat_time64 utimes",
    // Sockets
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair",
};
constexpr std::string_view for_programs = "execve execveat fork vfork";

constexpr std::uint32_t refusal = SCMP_ACT_ERRNO(EPERM);
constexpr int beyond_all_families = 64;  // AF_MAX is 46
constexpr std::array<std::uint64_t, 7> new_namespaces{CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
                                                      CLONE_NEWNS,     CLONE_NEWPID, CLONE_NEWUSER,
                                                      CLONE_NEWUTS};
#ifdef __s390__
constexpr unsigned clone_flags_argument = 1;
#else
constexpr unsigned clone_flags_argument = 0;
#endif
constexpr std::uint64_t int_bits = 0xffffffff;  // of a register; the kernel looks at no others

class Filter {
  public:
    Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), &seccomp_release) {
        if (!context_) error_ = -ENOMEM;
        set(SCMP_FLTATR_CTL_TSYNC, 1);
        // Spectre's mitigations stay as they are for the process: we run no strangers' code.
        set(SCMP_FLTATR_CTL_SSB, 1);
        set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree
    }

    void add(std::uint32_t action, std::string_view name,
             std::initializer_list<scmp_arg_cmp> conditions = {}) {
        const int number = seccomp_syscall_resolve_name(std::string(name).c_str());
        if (number < 0 || error_ != 0) return;  // not on this architecture
        refused(seccomp_rule_add_array(context_.get(), action, number,
                                       static_cast<unsigned>(conditions.size()),
                                       conditions.size() == 0 ? nullptr : conditions.begin()));
    }
    void allow(std::string_view name, std::initializer_list<scmp_arg_cmp> conditions = {}) {
        add(SCMP_ACT_ALLOW, name, conditions);
    }

    Result<void> load() {
        if (error_ == 0) refused(seccomp_load(context_.get()));
        if (error_ == 0) return {};
        return tl::make_unexpected(errno_error(-error_, "seccomp: filter system calls"));
    }

  private:
    void set(scmp_filter_attr attribute, std::uint32_t value) {
        // What the kernel or an outer filter does not let be set is no loss before the first
        // thread.
        if (error_ == 0) seccomp_attr_set(context_.get(), attribute, value);
    }
    void refused(int error) {
        if (error < 0 && error_ == 0) error_ = error;
    }
    std::unique_ptr<void, decltype(&seccomp_release)> context_;
    int error_ = 0;
};

scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

std::vector<std::string_view> words(std::string_view text) {
    auto all = split(text, ' ');
    std::erase(all, std::string_view());
    return all;
}

// Those that libseccomp knows and we do not allow. `taken` have rules of their own.
void refuse_the_others(Filter& filter, const std::vector<std::string_view>& taken) {
    constexpr int beyond_all = 1024;
    for (int number = 0; number < beyond_all; ++number) {
        const std::unique_ptr<char, decltype(&std::free)> name(
            seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
        if (name && std::find(taken.begin(), taken.end(), name.get()) == taken.end())
            filter.add(refusal, name.get());
    }
}

}  // namespace

std::vector<std::string_view> allowed_system_calls(const Needs& needs) {
    std::vector<std::string_view> all;
    for (const auto group : groups)
        for (const auto name : words(group)) all.push_back(name);
    if (needs.programs)
        for (const auto name : words(for_programs)) all.push_back(name);
    // New files of the cache get the group of its directory.
    if (needs.network) all.emplace_back("fchown");
    return all;
}

Result<void> restrict_system_calls(const Needs& needs) {
    Filter filter;
    auto taken = allowed_system_calls(needs);
    for (const auto name : taken) filter.allow(name);

    // What is refused is told apart from what this libseccomp does not know: EPERM for each case.
    for (int family = 0; family < beyond_all_families; ++family) {
        const bool needed =
            family == AF_UNIX ||
            (needs.network && (family == AF_INET || family == AF_INET6 || family == AF_NETLINK));
        filter.add(needed ? SCMP_ACT_ALLOW : refusal, "socket",
                   {bits(0, int_bits, static_cast<unsigned>(family))});
    }
    std::uint64_t all = 0;
    for (const std::uint64_t one : new_namespaces) {
        filter.add(refusal, "clone", {bits(clone_flags_argument, one, one)});
        all |= one;
    }
    filter.allow("clone", {bits(clone_flags_argument, all, 0)});
    constexpr std::uint64_t both = PROT_WRITE | PROT_EXEC;
    for (const auto* name : {"mmap", "mmap2"}) {
        filter.add(refusal, name, {bits(2, both, both)});
        filter.allow(name, {bits(2, PROT_WRITE, 0)});
        filter.allow(name, {bits(2, both, PROT_WRITE)});
    }
    filter.add(refusal, "mprotect", {bits(2, PROT_EXEC, PROT_EXEC)});
    filter.allow("mprotect", {bits(2, PROT_EXEC, 0)});
    // The flags of clone3 are out of sight: it is ENOSYS, as by default, so that libc takes
    // clone(2).
    for (const auto* name : {"socket", "clone", "clone3", "mmap", "mmap2", "mprotect"})
        taken.emplace_back(name);
    refuse_the_others(filter, taken);
    return filter.load();
}

}  // namespace postfathom
