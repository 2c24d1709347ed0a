#!/usr/bin/env bash
# questions.sh DIALOG_QUESTION FAKE_MX: every test of question_test.cpp under the path it is about.
set -euo pipefail
program=$1
fake_mx=$2
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/topology.sh"

make_links
make_certificates
serve 25 normal chain
serve 2501 mute-starttls chain
serve 2540 swallow-hello chain 517
serve 2541 swallow-hello chain 513
serve 2542 swallow-hello chain 1025
serve 2543 one-read chain
serve 2544 one-read-close chain
serve 2545 reset-large chain 1448
serve 2546 reset-large chain 600
serve 2547 swallow-line chain 10
serve 2548 swallow-line chain 256
export TEST_CA_FILE=$work/root.pem

failed=0
# probe FILTER: the tests whose names match; none is a failure too.
probe() {
  local -r before=$SECONDS
  in_client ${RUN_UNDER:-} "$program" --test-case="$1" --no-skip >"$work/output" 2>&1 || failed=1
  cat "$work/output"
  echo "took $((SECONDS - before)) s: $1"
  ! grep -q 'test cases: *0 ' "$work/output" || { echo "no test matches $1"; failed=1; }
}

# drop SIZE...: TCP segments with so many bytes of payload, or FIRST-LAST, vanish on the way to the server. With
# timestamps, which both ends use, a packet has 52 bytes more (IPv4) or 72 (IPv6).
drop() {
  local rules='' size
  for size in "$@"; do
    rules+="ip protocol tcp ip length $((${size%-*} + 52))-$((${size#*-} + 52)) drop
    ip6 nexthdr tcp meta length $((${size%-*} + 72))-$((${size#*-} + 72)) drop
    "
  done
  in_router nft -f - <<RULES
table inet sizes {
  chain forward {
    type filter hook forward priority 0;
    oif toclient accept
    $rules
  }
}
RULES
}

set_path 1500
[ -z "${ONLY:-}" ] || { eval "$ONLY"; exit "$failed"; }
EXPECT_SIZES='ClientHellos of 517 bytes' ASK_PORT=2540 probe 'the ordinary*fails'
EXPECT_SIZES='ClientHellos of 513 bytes' ASK_PORT=2541 HELLO_BYTES=513 probe 'the ordinary*fails'
EXPECT_SIZES='ClientHellos of 1025 bytes' ASK_PORT=2542 probe 'sizes that fail*'
EXPECT_SIZES='ClientHello in more than one segment' ASK_PORT=2543 probe 'only larger*'
EXPECT_SIZES='ClientHello in more than one segment' ASK_PORT=2544 probe 'only larger*'
EXPECT_SIZES='ClientHello above 1448 bytes' ASK_PORT=2545 probe 'only larger*'
EXPECT_SIZES='ClientHello above 600 bytes' ASK_PORT=2546 HELLO_BYTES=1400 probe '*is too large'
EXPECT_SIZES='requests of 10 bytes' ASK_PORT=2547 probe 'the request after EHLO*'
EXPECT_SIZES='requests of 256 bytes' ASK_PORT=2548 probe 'sizes that fail*'
ASK_PORT=2501 probe '*silent server*'
probe 'a healthy server*'

drop 517
EXPECT_SIZES='segments of 517 bytes' probe 'the ordinary*fails'
in_router nft flush ruleset && drop 513 1025
EXPECT_SIZES='segments of 513 and 1025 bytes' probe 'sizes that fail*'
in_router nft flush ruleset && drop 256-511
EXPECT_SIZES='segments of 256-511 bytes' probe 'sizes that fail*'
in_router nft flush ruleset && drop 522 778 1034 1290
EXPECT_SIZES='segments of 522 + n * 256 bytes' HELLO_BYTES=778 probe 'the ordinary*fails'

in_router nft flush ruleset
in_router nft -f - <<'RULES'
table inet loss {
  chain forward {
    type filter hook forward priority 0;
    numgen random mod 100 < 10 drop
  }
}
RULES
probe 'loss is no matter*'
[ "$failed" -eq 0 ] || { echo "some tests failed"; exit 1; }
