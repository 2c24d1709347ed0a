#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the suggested commands as printed, in a network namespace of their own, looks at what they did, and
# runs their undo. Exit status 77: cannot be tried here.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    print=$1
    if [ "$(id -u)" != 0 ] || ! unshare -n true 2>/dev/null; then
        echo "skipped: needs root and network namespaces"
        exit 77
    fi
    exec unshare -n bash "$0" inside "$print"
fi
print=$2

fail() {
    echo "FAIL: $*"
    exit 1
}

# Without iptables its lines are left out; the others must run.
run() {
    "$print" "$@" | while IFS= read -r line; do
        tool=${line%% *}
        if ! command -v "$tool" >/dev/null; then
            case $tool in
                iptables | ip6tables) echo "not here: $line" && continue ;;
            esac
        fi
        echo "$line"
        sh -c "$line" || fail "$line"
    done
}

ip link set lo up
ip link add wg0 type veth peer name far
ip link set wg0 mtu 8921 up
ip link set far up
ip address add 10.30.0.1/24 dev wg0
ip address add 2001:db8:30::1/64 dev wg0 nodad

# As Debian's /etc/nftables.conf has it.
nft -f - <<'RULES'
table inet filter {
    chain forward {
        type filter hook forward priority filter;
        icmp type destination-unreachable drop
    }
}
RULES

# iptables leaves its own empty chains behind, as they are on any host that has rules of it.
for tool in iptables ip6tables; do
    command -v "$tool" >/dev/null || continue
    "$tool" -t mangle -A FORWARD -j ACCEPT
    "$tool" -t mangle -D FORWARD -j ACCEPT
done

mtu_of_interface() {
    ip -o link show dev wg0 | grep -o "mtu [0-9]*"
}

# nft lists the rules of iptables as well.
our_rules() {
    nft list tables | sed -n 's/^table \([a-z0-9]* postfathom_.*\)/\1/p' | while read -r family table; do nft list table "$family" "$table"; done
}

try() { # address gateway mss ip-option iptables-command
    local routes_before mtu_before rules_before
    rules_before=$(nft list ruleset)
    routes_before=$(ip "$4" route show)
    mtu_before=$(mtu_of_interface)
    run commands "$1" "$2"
    [ "$(mtu_of_interface)" = "mtu 1400" ] || fail "the interface's MTU is not 1400"
    ip "$4" route show "$1" | grep -q "via $2 dev wg0 .*mtu 1400" || fail "no route to $1 with MTU 1400"
    ip "$4" route show "$1" | grep -q lock && fail "the MTU is locked, packets could be fragmented"
    [ "$(our_rules | grep -c "addr $1 .*maxseg size set $3")" = 4 ] || fail "not two clamps on this host and two on a router"
    if command -v iptables >/dev/null; then
        [ "$("$5" -t mangle -S FORWARD | grep -c "$1/.*TCPMSS --set-mss $3")" = 2 ] || fail "not two clamps of $5 on a router"
    fi
    # Before the rule that drops it.
    nft list chain inet filter forward | grep -A 1 "hook forward" | grep -qE "(frag-needed|packet-too-big) accept" ||
        fail "packet too big is not let through: $(nft list ruleset)"
    run undo "$1" "$2"
    [ "$(ip "$4" route show)" = "$routes_before" ] || fail "the undo leaves other routes"
    [ "$(mtu_of_interface)" = "$mtu_before" ] || fail "the undo leaves another MTU"
    [ "$(nft list ruleset)" = "$rules_before" ] || fail "the undo leaves rules: $(nft list ruleset)"
}

try 192.0.2.1 10.30.0.254 1360 -4 iptables
try 2001:db8:40::1 2001:db8:30::254 1340 -6 ip6tables
echo "all commands ran and were undone"
