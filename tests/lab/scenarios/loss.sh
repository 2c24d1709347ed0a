# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Loss that has nothing to do with size.
group loss
for family in 4 6; do
  for percent in 1 5 20; do
    scenario "loss-$percent-ipv$family" "$percent % of the packets are lost in each direction"
    path loss=$percent
    probe "-$family"
    with_patience
    expect id='healthy|lossy-path'
  done
  for packets in 3 8; do
    scenario "loss-bursts-of-$packets-ipv$family" "$packets packets in a row are lost of every $((10 * packets))"
    path bursts=$packets
    probe "-$family"
    with_patience
    expect id='healthy|lossy-path'
  done
  # So few handshakes end that it may take another probe to say why; all requests to connect, twice four, fail once in 200
  # times.
  scenario "loss-30-ipv$family" "30 % of the packets are lost in each direction"
  path loss=30
  probe "-$family"
  with_patience
  expect id='healthy|lossy-path|inconclusive|unreachable|greeting-timeout'
done

# A router that keeps to a rate drops large packets sooner than small ones: the bucket has room for a small one more often.
scenario rate-limited "packets beyond 20 KB a second are dropped"
path 'rule=meta l4proto tcp limit rate over 20 kbytes/second burst 4 kbytes drop'
probe -4
with_patience
expect id='healthy|lossy-path'

scenario rate-limited-to-a-packet "packets beyond 4 KB a second are dropped, with room for one large packet"
path 'rule=meta l4proto tcp limit rate over 4 kbytes/second burst 1600 bytes drop'
probe -4
with_patience
expect id='healthy|lossy-path|inconclusive'

scenario rate-limited-by-count "more than 20 packets a second are dropped"
path 'rule=meta l4proto tcp limit rate over 20/second burst 5 packets drop'
probe -4
with_patience
expect id='healthy|lossy-path|inconclusive'

# A route that changes, or path MTU discovery that takes its time.
scenario mended-in-the-middle "large packets from the server vanish at first, and then no more"
path 'rule=iif server meta length > 1400 quota until 16000 bytes drop'
probe -4
with_patience
expect id='healthy|lossy-path|inconclusive' inbound=1500

scenario mended-in-the-middle-outbound "large packets to the server vanish at first, and then no more"
path 'rule=iif client meta length > 1400 quota until 16000 bytes drop'
probe -4
with_patience
expect id='healthy|lossy-path|inconclusive' outbound=1500
