# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Requests that fail for their size or their division, on a path that carries packets of any other size.
group sizes

# Dropped: TCP repeats the segment for ever.
for family in 4 6; do
  scenario "segment-dropped-517-ipv$family" "segments of 517 bytes vanish: the size of Postfix's ClientHello"
  path segments=517
  probe "-$family"
  expect id=size-specific-loss direction=outbound severity=critical sizes='segments of 517 bytes'
  never peer-stall lossy-path

  scenario "segment-dropped-513-ipv$family" "segments of 513 bytes vanish, and a program sends such a ClientHello"
  path segments=513
  probe "-$family" --hello-bytes 513
  expect id=size-specific-loss direction=outbound severity=critical sizes='segments of 513 bytes'
done

scenario segments-dropped-513-1025 "segments of 513 and of 1025 bytes vanish"
path segments=513,1025
probe -4 --sizes
expect id=size-specific-loss direction=outbound severity=warning sizes='segments of 513 and 1025 bytes'

# Old servers and middleboxes that took a record of this length for SSL 2 (RFC 7685).
scenario segments-dropped-256-511 "segments of 256 to 511 bytes vanish"
path segments=256-511
probe -4 --sizes
expect id=size-specific-loss direction=outbound severity=warning sizes='segments of 256-511 bytes'

# A parser that reads a length from the wrong byte fails for every 256th size.
scenario segments-dropped-every-256th "segments of 522, 778, 1034 and 1290 bytes vanish"
path segments=522,778,1034,1290
probe -4 --hello-bytes 778
expect id=size-specific-loss direction=outbound severity=critical sizes='segments of 522 \+ n \* 256 bytes'

# Swallowed: acknowledged by TCP and never answered.
scenario hello-swallowed-517 "ClientHellos of 517 bytes are acknowledged and never answered"
server fake chain swallow-hello 517
probe -4
expect id=size-specific-loss direction=outbound severity=critical sizes='ClientHellos of 517 bytes'
never peer-stall

scenario hello-swallowed-513 "ClientHellos of 513 bytes are acknowledged and never answered"
server fake chain swallow-hello 513
probe -4 --hello-bytes 513
expect id=size-specific-loss direction=outbound severity=critical sizes='ClientHellos of 513 bytes'

scenario hello-swallowed-1025 "ClientHellos of 1025 bytes are acknowledged and never answered"
server fake chain swallow-hello 1025
probe -6 --sizes
expect id=size-specific-loss direction=outbound severity=warning sizes='ClientHellos of 1025 bytes'

scenario request-swallowed-10 "requests of 10 bytes, STARTTLS among them, are never answered"
server fake chain swallow-line 10
probe -4
expect id=size-specific-loss direction=outbound severity=critical sizes='requests of 10 bytes'

# Large ClientHellos: those with a post-quantum key share need two segments.
scenario hello-in-two-segments-dropped "a server that answers only what comes in one read"
server fake chain one-read
probe -4 --sizes
expect id=large-hello-intolerance severity=notice sizes='ClientHello in more than one segment'

scenario hello-in-two-segments-closed "a server that closes when a ClientHello comes in two reads"
server fake chain one-read-close
probe -4 --sizes
expect id=large-hello-intolerance severity=notice sizes='ClientHello in more than one segment'

scenario large-hello-reset "ClientHellos above 1448 bytes are answered with a reset"
server fake chain reset-large 1448
probe -4 --sizes
expect id=large-hello-intolerance severity=notice sizes='ClientHello above 1448 bytes'

scenario our-hello-reset "our own ClientHello is above what is answered"
server fake chain reset-large 600
probe -4 --hello-bytes 1400
expect id=large-hello-intolerance severity=critical sizes='ClientHello above 600 bytes'

scenario all-sizes-well "nothing is wrong, and all sizes are asked"
probe -4 --sizes
expect id=healthy severity=ok
