# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Loss that has nothing to do with size.
group loss
for percent in 1 5 20; do
  for family in 4 6; do
    scenario "loss-$percent-ipv$family" "$percent % of the packets are lost in each direction"
    path loss=$percent
    probe "-$family"
    with_patience
    expect id='healthy|lossy-path'
  done
done
