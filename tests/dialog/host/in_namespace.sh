#!/usr/bin/env bash
# Runs a test program in a network namespace of its own, with a name server, a hosts file and routes.
set -euo pipefail
# shellcheck source=tests/poll.bash
. "$(dirname "$0")/../../poll.bash"
program=$1

for tool in ip dnsmasq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }

name=pfhost$$
work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  ip netns del "$name" 2>/dev/null || true
  rm -rf "$work" "/etc/netns/$name"
}
trap cleanup EXIT

mkdir -p "/etc/netns/$name"
echo 'nameserver 127.0.0.1' >"/etc/netns/$name/resolv.conf"
printf '127.0.0.1 localhost\n192.0.2.77 listed.example.org\n' >"/etc/netns/$name/hosts"

ip netns add "$name"
run() { ip netns exec "$name" "$@"; }
run ip link set lo up
run ip link add wan type veth peer name far
run ip link set wan mtu 8921 up
run ip link set far up
run ip addr add 198.51.100.2/24 dev wan
run ip -6 addr add 2001:db8:1::2/64 dev wan nodad
run ip route add default via 198.51.100.1 dev wan
run ip route add 203.0.113.5/32 via 198.51.100.1 dev wan src 198.51.100.2 mtu 1400
run ip -6 route add default via 2001:db8:1::1 dev wan

cat >"$work/dnsmasq.conf" <<CONF
no-resolv
no-hosts
local=/example.org/
local=/test/
mx-host=example.org,b.example.org,20
mx-host=example.org,a.example.org,10
mx-host=ghost.example.org,missing.example.org,10
mx-host=null.example.org,.,0
mx-host=internal.test,a.example.org,10
host-record=a.example.org,192.0.2.10,2001:db8::10,300
host-record=b.example.org,192.0.2.20,60
host-record=plain.example.org,192.0.2.30,300
CONF
# Not through run(): the process id must be dnsmasq's own.
ip netns exec "$name" dnsmasq --keep-in-foreground --conf-file="$work/dnsmasq.conf" --listen-address=127.0.0.1 \
  --bind-interfaces --pid-file= --user=root --log-facility="$work/dnsmasq.log" &
server=$!
# Until the server's socket is there: 0035 is port 53.
poll 10 run grep -q ' 0100007F:0035 ' /proc/net/udp || { echo "dnsmasq did not start"; cat "$work/dnsmasq.log"; exit 1; }

run ${RUN_UNDER:-} "$program"
