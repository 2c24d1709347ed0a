# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Path MTU black holes: a middle link carries less than both ends, and nobody tells them. 1353 and 1499 are on no
# list of usual sizes.
for family in 4 6; do
  group "holes-ipv$family"
  about_mtu
  for size in 1280 1353 1400 1420 1492 1499; do
    scenario "hole-inbound-$size-ipv$family" "what the server sends above $size bytes vanishes"
    path inbound=$size too-big=never-sent
    probe "-$family"
    expect id=pmtu-black-hole direction=inbound severity=critical inbound=$size inbound_exact=true outbound=1500 \
      outbound_exact=true proven=true
    never peer-stall lossy-path

    scenario "hole-outbound-$size-ipv$family" "what we send above $size bytes vanishes, and the handshake completes"
    path outbound=$size too-big=never-sent
    probe "-$family"
    expect id=pmtu-black-hole direction=outbound severity=critical inbound=1500 outbound=$size outbound_exact=true proven=true
    never peer-stall lossy-path path-mtu-learned

    scenario "hole-both-$size-ipv$family" "packets above $size bytes vanish in both directions"
    path both=$size too-big=never-sent
    probe "-$family"
    expect id=pmtu-black-hole direction=both severity=critical inbound=$size inbound_exact=true outbound=$size \
      outbound_exact=true proven=true
    never peer-stall lossy-path
  done
done
