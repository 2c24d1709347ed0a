#!/usr/bin/env bash
# run.sh DIALOG_PROBE FAKE_MX: every test of probe_test.cpp under the path it is about.
set -euo pipefail
program=$1
fake_mx=$2
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/topology.sh"

make_links
make_certificates
serve 25 normal chain
serve 465 implicit chain
serve 2501 mute-starttls chain
serve 2502 slow-tls chain 2
serve 2503 slow-greeting chain 2
serve 2504 no-starttls chain
serve 2505 refuse-tls chain
serve 2506 helo-only chain
serve 2507 busy chain
serve 2508 reject chain
serve 2509 no-greeting chain
serve 2510 close-greeting chain
serve 2511 reset-hello chain
serve 2512 garbage chain
serve 2513 garbage-tls chain
serve 2514 normal self
serve 2515 normal incomplete
serve 2516 normal expired
export TEST_CA_FILE=$work/root.pem

failed=0
# probe FILTER: the tests whose names match; none is a failure too.
probe() {
  # RUN_UNDER: gdb or valgrind, by hand.
  in_client ${RUN_UNDER:-} "$program" --test-case="$1" --no-skip >"$work/output" 2>&1 || failed=1
  cat "$work/output"
  ! grep -q 'test cases: *0 ' "$work/output" || { echo "no test matches $1"; failed=1; }
}

for mtu in 1400 1353 1492 1280; do
  set_path "$mtu"
  EXPECT_MTU=$mtu probe "*black hole*IPv4*"
done
set_path 1400
EXPECT_MTU=1400 probe "*black hole*IPv6*"
EXPECT_MTU=1400 probe "*black hole*implicit*"
# As a server with segmentation offload sends: the whole flight is one packet up to the router.
ip -n "$server" link set lan gso_max_segs 64
EXPECT_MTU=1400 probe "*black hole*IPv4*"
ip -n "$server" link set lan gso_max_segs 1

set_path 1400 icmp
EXPECT_MTU=1400 probe "*discovery works*"

set_path 1500
probe "*server*"
[ "$failed" -eq 0 ] || { echo "some tests failed"; exit 1; }
