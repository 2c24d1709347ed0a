# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Servers that are at fault themselves, on a path without any.
group servers

scenario silent-after-starttls "220 to STARTTLS, then everything is acknowledged and nothing answered"
server fake chain mute-starttls
expect id=peer-stall severity=critical
never pmtu-black-hole lossy-path

# Of a flight of some 5000 bytes; no packet is full at any size that is tried.
scenario stops-in-its-answer "begins to answer the ClientHello and hangs"
server fake chain half-a-flight 400
expect id=peer-stall severity=critical
never pmtu-black-hole lossy-path size-specific-loss

# A load balancer with a machine that hangs: sizes have nothing to do with it, whoever asks for them in turns.
scenario every-second-hangs "every second connection hangs after 220 to STARTTLS"
server fake chain mute-in-turns
probe -4 --sizes
expect id='healthy|inconclusive' notes='.*answers-at-times.*'
never pmtu-black-hole size-specific-loss large-hello-intolerance

scenario silent-from-the-start "takes the connection and says nothing"
server fake chain no-greeting
expect id=greeting-timeout severity=critical

scenario silent-once "says nothing on the first connection that it takes, and greets on others"
server fake chain silent-once
expect id=healthy inbound=1500 notes='.*silent-at-first.*'

scenario slow-greeting "greets after two seconds"
server fake chain slow-greeting 2
expect id=healthy inbound=1500

scenario slow-handshake "answers the ClientHello after two seconds"
server fake chain slow-tls 2
expect id=healthy inbound=1500

scenario busy "says 421 and closes"
server fake chain busy
expect id=greeting-rejected severity=warning

scenario rejects "greets with 554"
server fake chain reject
expect id=greeting-rejected severity=critical

scenario closes-at-once "takes the connection and closes it"
server fake chain close-greeting
expect id=greeting-rejected severity=critical

scenario closes-on-hello "closes when the ClientHello comes"
server fake chain close-hello
expect id=reset-in-handshake severity=critical
never pmtu-black-hole peer-stall

scenario resets-on-hello "resets the connection when the ClientHello comes"
server fake chain reset-hello
expect id=reset-in-handshake severity=critical
never pmtu-black-hole peer-stall

scenario speaks-ssh "speaks another protocol"
server fake chain garbage
expect id=greeting-rejected severity=critical

scenario clear-text-after-220 "220 to STARTTLS, then clear text"
server fake chain garbage-tls
expect id=tls-garbage severity=critical

scenario injects-behind-220 "a reply of its own in clear text right behind the 220 to STARTTLS"
server fake chain inject
expect id=tls-garbage severity=critical

scenario drips "greets with a byte a second, without end"
server fake chain drip-greeting
expect id=greeting-timeout severity=critical

scenario floods "answers EHLO without end"
server fake chain flood-hello
expect id=greeting-rejected severity=critical

scenario leaves-at-starttls "421 to STARTTLS"
server fake chain leave-in-starttls
expect id=greeting-rejected severity=warning

scenario starttls-crossed-out "a firewall crosses STARTTLS out"
server fake chain crossed-out
expect id=starttls-stripped severity=critical

scenario no-starttls "does not offer STARTTLS"
server fake chain no-starttls
expect id=starttls-missing

scenario refuses-starttls "offers STARTTLS and refuses it"
server fake chain refuse-tls
expect id=starttls-missing

scenario helo-only "does not know EHLO"
server fake chain helo-only
expect id=starttls-missing

scenario nobody-listens "the port is closed"
server nobody
expect id=refused severity=critical

scenario no-answer "packets to the server vanish, all of them"
path 'rule=iif client drop'
expect id=unreachable severity=critical

scenario not-allowed "a router says that the server cannot be reached"
path 'rule=iif client reject with icmpx type admin-prohibited'
expect id=unreachable severity=critical

# From the reply to STARTTLS on, the server's window is closed: it takes nothing more.
scenario zero-window "the server stops reading when TLS should begin"
path 'rule=iif server @ih,0,64 0x32323020322e302e ct mark set 1; iif server ct mark 1 tcp flags & (syn | rst) == 0 tcp window set 0'
expect id=peer-stall severity=critical
never pmtu-black-hole

scenario first-mx-dead "the first of two exchangers does not answer"
path 'rule=ip daddr 198.51.100.3 drop'
to 'example.net:2500'
probe -4
expect id=unreachable endpoints=2 each=unreachable,healthy
