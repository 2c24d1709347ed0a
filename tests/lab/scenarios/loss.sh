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
  # So few handshakes end that it may take another probe to say why.
  scenario "loss-30-ipv$family" "30 % of the packets are lost in each direction"
  path loss=30
  probe "-$family"
  with_patience
  expect id='healthy|lossy-path|inconclusive'
done
