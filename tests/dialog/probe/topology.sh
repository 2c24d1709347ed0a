#!/usr/bin/env bash
# Makes a client, a router and a mail server in network namespaces of their own, runs a test program in
# the client's, and cleans up. Read by run.sh.
#
#   client 192.0.2.2 ---- router ---- 198.51.100.2 server
#
# The router decides how large the packets are that pass in each direction: see set_path.
set -euo pipefail

for tool in ip nft openssl; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }

# shellcheck source=tests/tools/certificates.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/certificates.sh"
# shellcheck source=tests/poll.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../poll.bash"

client=pfc$$ router=pfr$$ server=pfs$$
work=$(mktemp -d)
servers=()
cleanup() {
  local -r status=$?
  local pid
  [ "$status" -eq 0 ] || [ -e "$work/weak.both" ] || cat "$work/openssl.log" 2>/dev/null || true
  for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
  for ns in "$client" "$router" "$server"; do ip netns del "$ns" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

in_client() { ip netns exec "$client" "$@"; }
in_router() { ip netns exec "$router" "$@"; }
in_server() { ip netns exec "$server" "$@"; }

make_links() {
  local ns
  for ns in "$client" "$router" "$server"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
  done
  ip -n "$client" link add wan type veth peer name toclient netns "$router"
  ip -n "$server" link add lan type veth peer name toserver netns "$router"
  ip -n "$client" link set wan mtu 8921 up
  ip -n "$router" link set toclient mtu 8921 up
  ip -n "$router" link set toserver mtu 1500 up
  ip -n "$server" link set lan mtu 1500 up
  ip -n "$client" addr add 192.0.2.2/24 dev wan
  ip -n "$router" addr add 192.0.2.1/24 dev toclient
  ip -n "$router" addr add 198.51.100.1/24 dev toserver
  ip -n "$server" addr add 198.51.100.2/24 dev lan
  ip -n "$client" addr add 2001:db8:1::2/64 dev wan nodad
  ip -n "$router" addr add 2001:db8:1::1/64 dev toclient nodad
  ip -n "$router" addr add 2001:db8:2::1/64 dev toserver nodad
  ip -n "$server" addr add 2001:db8:2::2/64 dev lan nodad
  in_router sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip -n "$client" route add default via 192.0.2.1
  ip -n "$client" -6 route add default via 2001:db8:1::1
  ip -n "$server" route add default via 198.51.100.1
  ip -n "$server" -6 route add default via 2001:db8:2::1
  # A server on real hardware sends one packet at a time into the path.
  ip -n "$server" link set lan gso_max_segs "${GSO_SEGMENTS:-1}"
}

# set_path INBOUND [icmp|OUTBOUND [icmp]]: the router forwards no larger packets to the client, and none
# larger than OUTBOUND (1500 when it is not said) to the server. Its ICMP errors are dropped; with `icmp`
# path MTU discovery works.
set_path() {
  local -r inbound=$1
  local outbound=1500
  shift
  [ "${1:-icmp}" = icmp ] || { outbound=$1; shift; }
  in_router nft flush ruleset
  # Each direction by its route: a veth drops what is larger than the MTU of the receiving end, so the
  # MTU of a link is a limit in both.
  ip -n "$router" route replace 192.0.2.0/24 dev toclient src 192.0.2.1 mtu "$inbound"
  ip -n "$router" route replace 198.51.100.0/24 dev toserver src 198.51.100.1 mtu "$outbound"
  ip -n "$router" -6 route replace 2001:db8:1::/64 dev toclient proto kernel metric 256 mtu "$inbound"
  ip -n "$router" -6 route replace 2001:db8:2::/64 dev toserver proto kernel metric 256 mtu "$outbound"
  # The kernels forget what they learned.
  local ns
  for ns in "$client" "$server"; do
    ip -n "$ns" route flush cache
    ip -n "$ns" -6 route flush cache
  done
  [ "${1:-}" = icmp ] && return
  in_router nft -f - <<'RULES'
table inet hole {
  chain output {
    type filter hook output priority 0;
    icmp type destination-unreachable icmp code frag-needed drop
    icmpv6 type packet-too-big drop
  }
}
RULES
}

# Chains of about 4 KB, by the names in the leaf.
make_certificates() { CERTIFICATE_MORE_NAMES=50 certificates_in "$work"; }

# serve PORT MODE CHAIN [DELAY], on both families.
serve() {
  local address
  for address in 198.51.100.2 2001:db8:2::2; do
    # Not through in_server: $! has to be the program itself.
    ip netns exec "$server" "$fake_mx" --listen "$address" --port "$1" --mode "$2" --delay "${4:-0}" \
      --cert "$work/$3.pem" --key "$work/leaf.key" >"$work/$1.$address.log" 2>&1 &
    servers+=($!)
    poll 10 grep -qs '^ready' "$work/$1.$address.log" || { echo "fake_mx $2 did not start"; exit 1; }
  done
}
