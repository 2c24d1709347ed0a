#!/usr/bin/env bash
# Makes a client, a router and a mail server in network namespaces of their own, runs a test program in
# the client's, and cleans up. Read by run.sh.
#
#   client 192.0.2.2 ---- router ---- 198.51.100.2 server
#
# set_path MTU: packets to the client above MTU vanish at the router, and its ICMP errors are dropped.
set -euo pipefail

for tool in ip nft openssl; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }

client=pfc$$ router=pfr$$ server=pfs$$
work=$(mktemp -d)
servers=()
cleanup() {
  local -r status=$?
  local pid
  [ "$status" -eq 0 ] || [ -e "$work/chain.pem" ] || cat "$work/openssl.log" 2>/dev/null || true
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

# set_path MTU [icmp]: with `icmp` path MTU discovery works.
set_path() {
  in_router nft flush ruleset
  ip -n "$router" link set toclient mtu "$1"
  # The kernels forget what they learned.
  ip -n "$server" route flush cache
  ip -n "$server" -6 route flush cache
  [ "${2:-}" = icmp ] && return
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

# A chain of about 4 KB: leaf, intermediate and root, all RSA 4096 but for the leaf.
make_certificates() {
  local -r bits=${KEY_BITS:-4096}
  (
    cd "$work"
    openssl req -x509 -newkey "rsa:$bits" -nodes -keyout root.key -out root.pem -days 30 \
      -subj "/O=Example Root/CN=Example Root CA" 2>>openssl.log
    openssl req -newkey "rsa:$bits" -nodes -keyout inter.key -out inter.csr \
      -subj "/O=Example/CN=Example Intermediate CA" 2>>openssl.log
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' >ca.ext
    openssl x509 -req -in inter.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 \
      -extfile ca.ext -out inter.pem 2>>openssl.log
    openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr \
      -subj "/CN=mail.example.org" 2>>openssl.log
    printf 'subjectAltName=DNS:mail.example.org\n' >leaf.ext
    openssl x509 -req -in leaf.csr -CA inter.pem -CAkey inter.key -CAcreateserial -days 30 \
      -extfile leaf.ext -out leaf.pem 2>>openssl.log
    touch index.txt
    cat >ca.cnf <<'CNF'
[ca]
default_ca = test
[test]
database = index.txt
default_md = sha256
policy = any
rand_serial = yes
[any]
commonName = supplied
CNF
    openssl ca -batch -notext -outdir . -config ca.cnf -cert inter.pem -keyfile inter.key -in leaf.csr \
      -extfile leaf.ext -startdate 20200101000000Z -enddate 20200201000000Z \
      -out expired.leaf.pem 2>>openssl.log
    cat expired.leaf.pem inter.pem root.pem >expired.pem
    openssl req -x509 -key leaf.key -out self.pem -days 30 -subj "/CN=mail.example.org" \
      -addext "subjectAltName=DNS:mail.example.org" 2>>openssl.log
    cat leaf.pem inter.pem root.pem >chain.pem
    cp leaf.pem incomplete.pem
  )
}

# serve PORT MODE CHAIN [DELAY], on both families.
serve() {
  local address
  for address in 198.51.100.2 2001:db8:2::2; do
    # Not through in_server: $! has to be the program itself.
    ip netns exec "$server" "$fake_mx" --listen "$address" --port "$1" --mode "$2" --delay "${4:-0}" \
      --cert "$work/$3.pem" --key "$work/leaf.key" >"$work/$1.$address.log" 2>&1 &
    servers+=($!)
    local deadline=$((SECONDS + 10))
    until grep -qs '^ready' "$work/$1.$address.log"; do
      [ "$SECONDS" -lt "$deadline" ] || { echo "fake_mx $2 did not start"; exit 1; }
      kill -0 "${servers[-1]}" || exit 1
      read -r -t 0.02 <> <(:) || true
    done
  done
}
