# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The path that the matrix tries the probe on: three network namespaces, built once, whose faults change from
# scenario to scenario. Sourced by `matrix`.
#
#   client 192.0.2.2 ----- router ----- 198.51.100.2, 198.51.100.3 server
#     2001:db8:1::2                     2001:db8:2::2, 2001:db8:2::3
#
# What passes is limited by the router's routes and not by its interfaces: the kernel holds a forwarded packet, or
# each segment of one that is not cut yet, against the `mtu` of its route, in bytes of IP and in one direction
# alone, and says "too big" as any router. An interface limits what it receives as well, and four bytes late: the
# kernel leaves room for a VLAN tag.

path_use() {
  path_client=$1c path_router=$1r path_server=$1s
  path_namespaces=("$path_client" "$path_router" "$path_server")
}

in_client() { ip netns exec "$path_client" "$@"; }
in_router() { ip netns exec "$path_router" "$@"; }
in_server() { ip netns exec "$path_server" "$@"; }

path_up() {
  local ns
  for ns in "${path_namespaces[@]}"; do
    ip netns add "$ns"
    # Nothing learned on one connection may change the next.
    ip netns exec "$ns" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.tcp_no_metrics_save=1
    ip -n "$ns" link set lo up
  done
  # One scenario's datagrams may not use up what the next one is answered.
  in_server sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
  path_client_link
  ip -n "$path_server" link add lan type veth peer name server netns "$path_router"
  # The router's interfaces take everything: its routes decide.
  ip -n "$path_router" link set client mtu 9216
  ip -n "$path_router" link set server mtu 9216
  path_addresses "$path_client" wan 192.0.2.2/24 2001:db8:1::2/64
  path_addresses "$path_router" client 192.0.2.1/24 2001:db8:1::1/64
  path_addresses "$path_router" server 198.51.100.1/24 2001:db8:2::1/64
  path_addresses "$path_server" lan 198.51.100.2/24 198.51.100.3/24 2001:db8:2::2/64 2001:db8:2::3/64
  ip -n "$path_client" route add default via 192.0.2.1
  ip -n "$path_client" -6 route add default via 2001:db8:1::1
  ip -n "$path_server" route add default via 198.51.100.1
  ip -n "$path_server" -6 route add default via 2001:db8:2::1
}

# The wire between client and router: as long as PATH_DELAY milliseconds, where that is set (PATH_DELAY_LINK is
# tests/tools/delay_link then), else without length.
path_client_link() {
  if [ -z "${PATH_DELAY:-}" ]; then
    ip -n "$path_client" link add wan type veth peer name client netns "$path_router"
    return
  fi
  ip netns exec "$path_client" "$PATH_DELAY_LINK" wan client "$PATH_DELAY" >/dev/null &
  disown  # its end is no news for the terminal
  wait_for 10 "the delayed link" ip -n "$path_client" link show client >/dev/null 2>&1
  ip -n "$path_client" link set client netns "$path_router"
}

path_addresses() {
  local ns=$1 interface=$2 address
  shift 2
  ip -n "$ns" link set "$interface" up
  for address in "$@"; do
    case $address in
      *:*) ip -n "$ns" addr add "$address" dev "$interface" nodad ;;
      *) ip -n "$ns" addr add "$address" dev "$interface" ;;
    esac
  done
}

path_down() {
  local ns pid
  for ns in "${path_namespaces[@]}"; do
    # Everything in there is ours.
    for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    ip netns del "$ns" 2>/dev/null || true
  done
}

# --- faults -------------------------------------------------------------------------------------------

# path_set FAULT...: a path without any other fault than these, and kernels that remember nothing.
# What an earlier connection still sends must teach no kernel a size: limits go first, and come once nobody tells of them.
path_set() {
  local kind fault
  path_reset
  for kind in 'remembered=*' 'too-big=*' '*'; do
    for fault in "$@"; do
      # shellcheck disable=SC2053  # patterns
      [[ $fault == $kind ]] || continue
      [[ $kind != '*' || $fault != @(remembered|too-big)=* ]] || continue
      path_fault "${fault%%=*}" "${fault#*=}" || { echo "no such fault: $fault" >&2; return 1; }
    done
  done
}

path_reset() {
  local ns direction
  for direction in inbound outbound; do
    path_route "$direction" 1500 4
    path_route "$direction" 1500 6
  done | ip -n "$path_router" -batch -
  for ns in "${path_namespaces[@]}"; do
    # shellcheck disable=SC2016  # nothing is to be expanded here
    ip netns exec "$ns" sh -c 'nft flush ruleset; ip -6 route flush cache
      echo 1 >/proc/sys/net/ipv4/route/flush; echo 0 >/proc/sys/net/ipv4/tcp_mtu_probing'
  done
  # As real interfaces put packets on the wire: one segment each.
  ip -n "$path_client" link set wan mtu 1500 gso_max_segs 1
  ip -n "$path_server" link set lan mtu 1500 gso_max_segs 1
}

# path_route DIRECTION BYTES FAMILY: the route that limits the direction, as ip-route(8) is told it.
path_route() {
  local to
  case $1-$3 in
    inbound-4) to='192.0.2.2/32 dev client' ;;
    inbound-6) to='2001:db8:1::2/128 dev client' ;;
    outbound-4) to='198.51.100.0/30 dev server' ;;  # the server's addresses
    outbound-6) to='2001:db8:2::/126 dev server' ;;
  esac
  echo "route replace $to mtu $2"
}
path_limit() { path_route "$@" | ip -n "$path_router" -batch -; }

path_fault() {
  local name=$1 value=$2
  case $name in
    # The largest packet that the router passes on, and what becomes of its "too big".
    inbound|outbound) path_limit "$name" "$value" 4 && path_limit "$name" "$value" 6 ;;
    inbound4|outbound4|inbound6|outbound6) path_limit "${name%[46]}" "$value" "${name: -1}" ;;
    both) path_fault inbound "$value" && path_fault outbound "$value" ;;
    too-big)
      case $value in
        never-sent) path_rules "$path_router" output "$too_big_rules" ;;
        stopped-at-the-server) path_rules "$path_server" input "$too_big_rules" ;;
        stopped-at-the-client) path_rules "$path_client" input "$too_big_rules" ;;
        *) return 1 ;;
      esac ;;
    # Interfaces of the client and of the server.
    client-mtu) ip -n "$path_client" link set wan mtu "$value" ;;
    server-mtu) ip -n "$path_server" link set lan mtu "$value" ;;
    # An interface of the router towards the server with a smaller MTU than everybody else there. What the router
    # receives is dropped by a rule: between two kernels of one host the sender would be told of the drop.
    segment)
      path_limit outbound "$value" 4 && path_limit outbound "$value" 6 &&
        path_rules "$path_router" prerouting "iif server meta length > $((value + 4)) drop" ;;
    # A server with segmentation offload: a whole flight is one packet up to the router.
    offload) ip -n "$path_server" link set lan gso_max_segs "$value" ;;
    probing) in_server sysctl -qw net.ipv4.tcp_mtu_probing="$value" ;;
    our-probing) in_client sysctl -qw net.ipv4.tcp_mtu_probing="$value" ;;
    # A router told our kernel of a smaller path MTU, and the path is as before now.
    remembered) path_remembered "$value" ;;
    # TCP segments to the server with these sizes of payload, or FIRST-LAST. Both ends use timestamps: a packet has 52
    # bytes more (IPv4) or 72 (IPv6).
    segments) path_rules "$path_router" forward "$(path_segment_rules "$value")" ;;
    # A router that lowers the segment size which one side asks for: the limit of the other direction.
    clamp-inbound) path_rules "$path_router" forward "iif client tcp flags & (syn | rst) == syn tcp option maxseg size set $value" ;;
    clamp-outbound) path_rules "$path_router" forward "iif server tcp flags & (syn | rst) == syn tcp option maxseg size set $value" ;;
    # Percent of the packets in each direction, whatever their size.
    # So many packets in a row out of ten times as many, the last ones.
    bursts) path_rules "$path_router" forward "meta l4proto tcp numgen inc mod $((10 * value)) >= $((9 * value)) drop" ;;
    loss) path_rules "$path_router" forward "meta l4proto tcp numgen random mod 1000 < $((value * 10)) drop" ;;
    # The don't-fragment bit is cleared, as some tunnels do, and somebody drops what comes of it.
    fragments)
      path_rules "$path_router" prerouting 'ip frag-off & 0x4000 != 0 ip frag-off set 0'
      path_fragments_dropped client
      path_fragments_dropped server ;;
    # What the others cannot say, for packets that the router passes on.
    rule) path_rules "$path_router" forward "$value" ;;
    server-rule) path_rules "$path_server" input "$value" ;;
    *) return 1 ;;
  esac
}

path_remembered() {
  local bytes=$1 size
  path_limit outbound "$bytes" 4
  path_limit outbound "$bytes" 6
  for size in /dev/udp/198.51.100.2/9 /dev/udp/2001:db8:2::2/9; do
    # One datagram that is too big; the kernel sets "don't fragment" by itself.
    in_client bash -c 'head -c 1400 /dev/zero >"$1"' - "$size" 2>/dev/null || true
  done
  path_limit outbound 1500 4
  path_limit outbound 1500 6
  wait_for 5 "the kernel to learn $bytes" path_has_learned "$bytes"
}
path_has_learned() {
  in_client ip route get 198.51.100.2 | grep -q "mtu $1" && in_client ip -6 route get 2001:db8:2::2 | grep -q "mtu $1"
}

path_segment_rules() {
  local size
  for size in ${1//,/ }; do
    echo "iif client ip protocol tcp ip length $((${size%-*} + 52))-$((${size#*-} + 52)) drop"
    echo "iif client ip6 nexthdr tcp meta length $((${size%-*} + 72))-$((${size#*-} + 72)) drop"
  done
}

too_big_rules='icmp type destination-unreachable icmp code frag-needed drop
    icmpv6 type packet-too-big drop'

# path_rules NAMESPACE HOOK RULES: added to what is there.
path_rules() {
  local priority=0
  [ "$2" != prerouting ] || priority=-300
  ip netns exec "$1" nft -f - <<RULES
table inet faults {
  chain $2 {
    type filter hook $2 priority $priority;
    $3
  }
}
RULES
}

path_fragments_dropped() {
  in_router nft -f - <<RULES
table netdev faults {
  chain to_$1 {
    type filter hook egress device $1 priority 0;
    ip frag-off & 0x3fff != 0 drop
  }
}
RULES
}
