#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# datagrams.sh DIALOG_DATAGRAMS: every test of datagrams_test.cpp under the path it is about.
set -euo pipefail
program=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/topology.sh"

make_links
# Nothing larger than 1400 bytes goes on to the server.
for route in '198.51.100.0/24 dev toserver src 198.51.100.1' \
  '-6 2001:db8:2::/64 dev toserver proto kernel metric 256'; do
  family=-4
  case $route in -6*) family=-6 route=${route#-6 } ;; esac
  # shellcheck disable=SC2086 # words
  ip -n "$router" "$family" route replace $route mtu 1400
done
forget() { ip -n "$client" route flush cache; ip -n "$client" -6 route flush cache; }
drop() {
  in_router nft -f - <<RULES
table inet test {
  chain output { type filter hook output priority 0; $1 }
  chain forward { type filter hook forward priority 0; $2 }
}
RULES
}

# An address that is still being checked for duplicates answers nobody.
is_settled() { [ -z "$(ip -n "$1" -6 addr show tentative)" ]; }
for ns in "$client" "$router" "$server"; do
  poll 20 is_settled "$ns" || { echo "IPv6 addresses stay tentative"; exit 1; }
done

failed=0
run() {
  forget
  in_client "$program" --test-case="$1" --no-skip >"$work/output" 2>&1 || failed=1
  cat "$work/output"
  ! grep -q 'test cases: *0 ' "$work/output" || { echo "no test matches $1"; failed=1; }
}

# Every group of this host may use ping sockets, which is what distributions set.
in_client sysctl -q -w net.ipv4.ping_group_range="0 2147483647"
run "discovery*"
drop "icmp type destination-unreachable icmp code frag-needed drop; icmpv6 type packet-too-big drop;" ""
run "hole*"
in_router nft flush ruleset
drop "" "iifname toserver drop;"
run "deaf*"
in_router nft flush ruleset
in_client sysctl -q -w net.ipv4.ping_group_range="1 0"
run "forbidden*"
[ "$failed" -eq 0 ] || { echo "some tests failed"; exit 1; }
