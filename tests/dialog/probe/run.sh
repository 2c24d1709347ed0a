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
# A chain of more than the 100 KB that OpenSSL takes; a subject with control characters.
{
  cat "$work/chain.pem"
  for _ in {1..180}; do cat "$work/root.pem"; done
} >"$work/huge.pem"
openssl req -x509 -key "$work/leaf.key" -out "$work/evil.pem" -days 30 -utf8 \
  -subj "/CN=evil"$'\e[2J\x07'"name" 2>>"$work/openssl.log"
hostile=(inject imap-inject flood-greeting flood-line flood-hello imap-flood imap-literal drip-greeting drip-hello
  drip-starttls leave-in-hello leave-in-starttls imap-bye imap-preauth crossed-out flood-inside)
for i in "${!hostile[@]}"; do serve $((2601 + i)) "${hostile[i]}" chain; done
serve 2617 normal huge
serve 2618 renegotiate chain
serve 2619 control-bytes chain
serve 2620 normal evil
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
