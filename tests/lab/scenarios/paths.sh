# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Paths on which sizes matter: healthy ones, and faults that are not a plain black hole in the middle.
group paths
about_mtu

for family in 4 6; do
  scenario "healthy-ipv$family" "1500 bytes everywhere"
  probe "-$family"
  expect id=healthy severity=ok inbound=1500 outbound=1500 outbound_exact=true

  scenario "discovery-works-outbound-ipv$family" "\"too big\" messages arrive, for what we send"
  path outbound=1400
  probe "-$family"
  expect id=pmtu-reduced direction=outbound severity=notice inbound=1500 outbound=1400 outbound_exact=true \
    discovery=true notes='.*path-mtu-learned.*'

  scenario "discovery-works-ipv$family" "a middle link of 1400 bytes, and \"too big\" messages arrive"
  path both=1400
  probe "-$family"
  expect id=pmtu-reduced severity=notice inbound=1400 outbound=1400 discovery=true

  scenario "too-big-stopped-at-the-server-ipv$family" "\"too big\" is sent, and the server's own firewall drops it"
  path both=1400 too-big=stopped-at-the-server
  probe "-$family"
  expect id=pmtu-black-hole direction=inbound inbound=1400 inbound_exact=true outbound=1400

  scenario "too-big-stopped-at-our-end-ipv$family" "\"too big\" is sent, and our own firewall drops it"
  path outbound=1400 too-big=stopped-at-the-client
  probe "-$family"
  expect id=pmtu-black-hole direction=outbound inbound=1500 outbound=1400 outbound_exact=true

  scenario "jumbo-ends-ipv$family" "9000 bytes at both ends over a middle of 1500"
  path client-mtu=9000 server-mtu=9000 too-big=never-sent
  probe "-$family"
  expect id=pmtu-black-hole direction=both inbound=1500 inbound_exact=true outbound=1500 outbound_exact=true

  scenario "jumbo-all-the-way-ipv$family" "9000 bytes everywhere"
  path client-mtu=9000 server-mtu=9000 both=9000
  probe "-$family"
  expect id=healthy severity=ok outbound=9000 outbound_exact=true

  scenario "jumbo-at-our-end-ipv$family" "an interface of 8921 bytes, a server with 1500, a middle of 1400"
  path client-mtu=8921 both=1400 too-big=never-sent
  probe "-$family"
  expect id=pmtu-black-hole direction=both inbound=1400 inbound_exact=true outbound=1400 outbound_exact=true

  # A server that sounds the path itself (RFC 4821) goes on by itself after some seconds, with each connection anew.
  scenario "server-sounds-the-path-ipv$family" "a black hole, and a server with tcp_mtu_probing"
  path inbound=1400 too-big=never-sent probing=1
  probe "-$family"
  expect id=pmtu-black-hole direction=inbound inbound=1400 inbound_exact=true outbound=1500

  scenario "we-sound-the-path-ipv$family" "a black hole, and tcp_mtu_probing at our end"
  path outbound=1400 too-big=never-sent our-probing=1
  probe "-$family"
  expect id=pmtu-black-hole direction=outbound inbound=1500 outbound=1400 outbound_exact=true

  # Interfaces take a little more than they may send: the room for a VLAN tag. So do the kernel's.
  scenario "mismatch-on-a-segment-ipv$family" "a server with 1500 bytes on a segment whose router has 1400"
  path segment=1400
  probe "-$family"
  expect id=pmtu-black-hole direction=inbound inbound=1404 inbound_exact=true outbound=1400

  scenario "hole-before-tls-at-once-ipv$family" "a black hole, and a server with TLS from the first byte"
  path both=1400 too-big=never-sent
  server postfix-at-once chain
  probe "-$family"
  expect id=pmtu-black-hole direction=both inbound=1400 inbound_exact=true outbound=1400 outbound_exact=true
done

scenario fragments-dropped "the don't-fragment bit is cleared, and fragments are dropped"
path both=1480 fragments=dropped
probe -4
expect id=pmtu-black-hole direction=both inbound=1480 inbound_exact=true outbound=1480 outbound_exact=true

scenario below-1280 "a link of the smallest kind, over IPv4"
path both=1006 too-big=never-sent
probe -4
expect id=pmtu-black-hole direction=both inbound=1006 inbound_exact=true outbound=1006 outbound_exact=true

scenario offload "a black hole, and a server that leaves cutting to its network card"
path inbound=1400 too-big=never-sent offload=64
probe -4
expect id=pmtu-black-hole direction=inbound inbound=1400 inbound_exact=true outbound=1500

for family in 4 6; do
  mss=$((family == 4 ? 1360 : 1340))
  scenario "clamp-inbound-only-ipv$family" "segments towards us are clamped, and arrive; ours are not"
  path both=1400 too-big=never-sent clamp-inbound=$mss
  probe "-$family"
  expect id=pmtu-black-hole direction=outbound inbound=1400 outbound=1400 outbound_exact=true

  scenario "clamp-outbound-only-ipv$family" "only the segments that we send are clamped"
  path both=1400 too-big=never-sent clamp-outbound=$mss
  probe "-$family"
  expect id=pmtu-black-hole direction=inbound inbound=1400 inbound_exact=true outbound=1400

  scenario "clamp-both-ipv$family" "a router clamps both sides, and nothing larger would pass"
  path both=1400 too-big=never-sent clamp-inbound=$mss clamp-outbound=$mss
  probe "-$family"
  expect severity='ok|notice' inbound=1400 outbound=1400 notes='.*mss-clamped.*'
  never pmtu-black-hole

  # The kernel believes what a router said some minutes ago, and asks the server for less.
  scenario "stale-route-ipv$family" "1500 bytes again, and the kernel still remembers less"
  path remembered=1300
  probe "-$family"
  expect severity='ok|notice' notes='.*cached-path-mtu.*stale-route-exception.*'
  never pmtu-black-hole

  # Until the kernel forgets, the server is asked for small segments: "it works for ten minutes after an upload".
  scenario "stale-route-hides-a-hole-ipv$family" "a black hole from the server, hidden by what the kernel remembers"
  path inbound=1400 remembered=1300 too-big=never-sent
  probe "-$family"
  expect notes='.*cached-path-mtu.*stale-route-exception.*'
done

scenario ipv6-only "a name with two addresses, and a black hole over IPv6 alone"
path inbound6=1400 outbound6=1400 too-big=never-sent
to 'example.org:2500'
expect id=pmtu-black-hole direction=both endpoints=2 each='healthy,pmtu-black-hole|pmtu-black-hole,healthy'

for percent in 1 5; do
  scenario "hole-with-loss-$percent" "a black hole of 1400 bytes both ways, and $percent % of all packets are lost"
  path both=1400 too-big=never-sent loss=$percent
  probe -4
  with_patience
  expect id=pmtu-black-hole direction=both inbound=1400 inbound_exact=true outbound=1400 outbound_exact=true
done

# Routers divide connections among several ways (ECMP): one probe may see the one, the other or both.
scenario two-ways-to-the-server "one of two ways to the server carries less"
path 'rule=iif client meta length > 1400 jhash tcp sport mod 2 == 0 drop'
probe -4
with_patience
expect id='healthy|inconclusive|pmtu-black-hole' outbound='1400|1500'
never lossy-path
