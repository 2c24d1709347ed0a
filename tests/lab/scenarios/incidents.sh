# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What mail operators have met, each in general words. The first group is about MTU; in the second the operators
# suspected it, sometimes for weeks, and were wrong.
group incidents
about_mtu

# Deferrals with "Cannot start TLS: handshake failure" for the servers of one provider only, everybody else fine, and
# telnet to port 25 answers. The provider's side of the path had the smaller MTU.
scenario one-provider-stalls "mail to one provider stalls in the handshake, telnet works"
path 'rule=iif server ip saddr 198.51.100.2 meta length > 1400 drop'
probe -4
expect id=pmtu-black-hole direction=inbound inbound=1400 inbound_exact=true
never peer-stall

scenario other-providers-do-not "at the same time, through the same interface, to somebody else"
path 'rule=iif server ip saddr 198.51.100.2 meta length > 1400 drop'
to 198.51.100.3
probe -4
expect id=healthy inbound=1500

# Container networks with 1500 bytes on hosts whose own link carries less.
scenario container-over-tunnel "a container network over a WireGuard link, after an upgrade"
path both=1355 too-big=never-sent
probe -4
expect id=pmtu-black-hole direction=both inbound=1355 inbound_exact=true outbound=1355 outbound_exact=true

# Packets above 1372 bytes hang from one host to the other and not back; pings of any size are answered, because an
# echo reply may be cut into fragments (RFC 1191 is about packets that may not).
scenario ping-is-fine "one direction hangs above 1372 bytes, and ping shows nothing"
path inbound=1372 too-big=never-sent
probe -4
expect id=pmtu-black-hole direction=inbound inbound=1372 inbound_exact=true outbound=1500

# The tunnel's router says "too big" as it should; the server's firewall lets no ICMP in, and it repeats the same size.
scenario server-ignores-too-big "a server behind a firewall repeats the same size after \"too big\""
path inbound=1420 outbound=1420 too-big=stopped-at-the-server
probe -4
expect id=pmtu-black-hole direction=inbound inbound=1420 inbound_exact=true outbound=1420

# People lowered the MTU of a VPN client from 1400 to 1380 to 1320 until it worked.
scenario lowered-by-guessing "a VPN that carries 1320 bytes"
path both=1320 too-big=never-sent
probe -4
expect id=pmtu-black-hole direction=both inbound=1320 inbound_exact=true outbound=1320 outbound_exact=true

# A capture showed packets of 2958 bytes with the don't-fragment bit: cards cut them later, so they were no clue.
scenario packets-of-2958-bytes "captures show packets that no link carries"
path inbound=1450 too-big=never-sent offload=2
probe -4
expect id=pmtu-black-hole direction=inbound inbound=1450 inbound_exact=true

# Clients whose ClientHello of 1900 bytes did not fit through a WireGuard tunnel hung in the handshake, and others were
# well: a router clamped the segments of one direction only, and its owner added the rule for the other.
scenario large-hello-over-tunnel "large ClientHellos hang in a tunnel, small ones do not; one direction is clamped"
path both=1420 too-big=never-sent clamp-inbound=1380
probe -4
expect id=pmtu-black-hole direction=outbound inbound=1420 outbound=1420 outbound_exact=true
never large-hello-intolerance size-specific-loss

# "Timeout after DATA" from some senders, small mail fine: segments of full size to a mail server were lost.
scenario small-mail-is-fine "handshakes pass, and large messages from us hang in DATA"
path outbound=1454 too-big=never-sent
probe -4
expect id=pmtu-black-hole direction=outbound inbound=1500 outbound=1454 outbound_exact=true

group suspected-mtu

# Messages were cut at exactly 65536 bytes whatever MTU and MSS were set to: a device on the way ended connections.
scenario message-cut-at-65536 "connections end after 65536 bytes"
path 'rule=ct original bytes > 65536 drop'
expect id=healthy inbound=1500 outbound=1500
never pmtu-black-hole pmtu-reduced

# A handshake that failed with 1500 bytes everywhere: a protocol setting, and beside it an IPv6 address without a way.
scenario protocol-setting-and-dead-ipv6 "no TLS version in common, and IPv6 leads nowhere"
path 'rule=iif client meta nfproto ipv6 drop'
server fake chain alert 70
to mail.example.org
expect id='tls-protocol-mismatch|unreachable' endpoints=2 each='tls-protocol-mismatch,unreachable|unreachable,tls-protocol-mismatch'

# BDAT to a large provider stalled, and an MTU of 1400 at the sender changed nothing: the sender's own fault.
scenario stall-in-bdat "a message stalls in BDAT, and a smaller MTU at our end does not help"
path client-mtu=1400
expect severity=ok inbound=1400
never pmtu-black-hole

# A fleet had thousands of messages waiting on connections that were up: 220 to STARTTLS, then nothing. The other side
# throttled the sender.
scenario throttled-by-the-peer "a provider that answers a throttled sender no more after 220"
path client-mtu=8921
server fake chain mute-starttls
expect id=peer-stall severity=critical
never pmtu-black-hole

# Lookups and deliveries took a minute each: the first exchanger was gone.
scenario slow-for-a-dead-exchanger "the first exchanger refuses, the second is well"
path 'rule=ip daddr 198.51.100.3 tcp flags syn reject with tcp reset'
to 'example.net:2500'
probe -4
expect id=refused endpoints=2 each=refused,healthy

# A firewall that forwards no ClientHello before it has read all of its first segment: one in two segments is answered
# with a reset, and the same parameters in one pass. It was taken for a path MTU fault for weeks.
scenario split-hello-reset "a firewall resets ClientHellos that come in two segments"
server fake chain one-read-close
probe -4 --sizes
expect id=large-hello-intolerance inbound=1500
never pmtu-black-hole pmtu-reduced

# A proxy's own rule reset connections after it had read a whole post-quantum ClientHello: nothing was lost on the way.
scenario proxy-resets-large-hello "a proxy resets after a whole large ClientHello has arrived"
server fake chain reset-large 1500
probe -4 --sizes
expect id=large-hello-intolerance inbound=1500
never pmtu-black-hole pmtu-reduced
