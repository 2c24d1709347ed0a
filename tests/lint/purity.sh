#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What decides is pure: no socket, clock, file, thread or log line can be reached from these files:
# purity.sh ROOT
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")

pure='^(lib/(destination|diagnosis|doctor|suggestion)/.*|lib/postfix/(configuration|own_hooks|setup)|lib/mail_log/(lines|tls_report)|probes/(tlsa_record|mta_sts|path_mtu_search|schedule|socket_watch)|milter/envelope)(\.cpp|\.hpp)$'
impure='^(arpa/|sys/|net/|netinet/|linux/|netdb\.h|unistd\.h|poll\.h|fcntl\.h|signal\.h|csignal$|pthread\.h|syslog\.h|time\.h|ctime$'
impure+='|fstream$|iostream$|cstdio$|stdio\.h|filesystem$|thread$|mutex$|shared_mutex$|atomic$|condition_variable$|future$|random$'
impure+='|boost/(asio|beast)|openssl/|spdlog/|unbound\.h|lmdb\.h|libmnl/|libmilter/|lib/base/(log|descriptor)\.hpp|lib/(net|cache)/)'
# Text of an address is inet_pton(3)'s and inet_ntop(3)'s business.
converts_addresses='^lib/destination/(ip_address|endpoint)\.cpp$'
calls='wall_now\(|_clock::now\(|[^_[:alnum:]](time|gettimeofday|clock_gettime|getenv|rand|random)\(|log::(debug|info|warning|error|write)\('

declare -A headers_of=()
while IFS= read -r entry; do
    file=${entry%%:*}
    rest=${entry#*:}
    written=${rest#*:}
    headers_of[$file]+="${rest%%:*}:${written:1:-1} "
done < <(includes "$root")

# Follows our own headers, so that nothing impure comes in by a detour.
declare -A seen
follow() {
    local file=$1 via=$2 entry line header
    [ -n "${seen[$file]:-}" ] && return
    seen[$file]=1
    for entry in ${headers_of[$file]:-}; do
        line=${entry%%:*}
        header=${entry#*:}
        if [[ $header =~ $impure ]]; then
            [ "$header" = arpa/inet.h ] && [[ $file =~ $converts_addresses ]] && continue
            echo "$file:$line: $via has to stay pure, found #include of $header"
        elif [ -f "$root/$header" ]; then
            follow "$header" "$via"
        fi
    done
}

check() {
    local file
    while IFS= read -r file; do
        [[ $file =~ $pure ]] || continue
        seen=()
        follow "$file" "$file"
        (cd "$root" && sed -E 's://.*$::' "$file" | grep -nE "$calls") |
            sed "s|^\([0-9]*\):.*|$file:\1: a pure file may not call a clock, the environment or the log|"
    done
}
cpp_files "$root" | check | sort -u | finish
