#!/usr/bin/env bash
# run.sh DIALOG_OUTBOUND FAKE_MX: every test of outbound_test.cpp under the paths it is about.
set -euo pipefail
program=$1
fake_mx=$2
# shellcheck source-path=SCRIPTDIR source=../probe/topology.sh
. "$(dirname "$0")/../probe/topology.sh"

make_links
make_certificates
serve 25 normal chain
serve 465 implicit chain
serve 2501 mute-starttls chain
serve 2511 reset-hello chain
export TEST_CA_FILE=$work/root.pem

failed=0
# probe TEST [VARIABLE=VALUE ...]: none that matches is a failure too.
probe() {
  local -r test=$1
  shift
  echo "--- $test: $*"
  in_client env SERVER=198.51.100.2 PORT=25 OUTBOUND=1500 "$@" ${RUN_UNDER:-} "$program" \
    --test-case="$test" --no-skip >"$work/output" 2>&1 || failed=1
  cat "$work/output"
  ! grep -q 'test cases: *0 ' "$work/output" || { echo "no test matches $test"; failed=1; }
}
v6=SERVER=2001:db8:2::2

# lose PERCENT: the router loses packets in each direction, whatever their size.
lose() {
  in_router nft -f - <<RULES
table inet loss {
  chain forward {
    type filter hook forward priority 0;
    numgen random mod 100 < $1 drop
  }
}
RULES
}

set_path 1500
probe "clean path"
probe "clean path" "$v6"
probe "clean path" PORT=465
probe "server without an answer" PORT=2501
probe "server without an answer" PORT=2511

for size in 1280 1353 1400 1420 1492 1499; do
  set_path 1500 "$size"
  probe "hole outbound" OUTBOUND=$size
  probe "hole outbound" OUTBOUND=$size "$v6"
done
set_path 1500 1400
probe "hole outbound" OUTBOUND=1400 PORT=465
set_path 1500 1006
probe "hole outbound" OUTBOUND=1006

set_path 1400 1400
probe "hole both ways" INBOUND=1400 OUTBOUND=1400
probe "hole both ways" INBOUND=1400 OUTBOUND=1400 "$v6"
set_path 1420 1392
probe "hole both ways" INBOUND=1420 OUTBOUND=1392
set_path 1400
probe "hole inbound alone" INBOUND=1400
probe "hole inbound alone" INBOUND=1400 "$v6"

# Nobody answers for the lost packets: a switch in the middle, not a router.
set_path 1500
in_router nft -f - <<'RULES'
table inet switch {
  chain forward {
    type filter hook forward priority 0;
    oifname toserver meta length > 1387 drop
  }
}
RULES
probe "hole outbound" OUTBOUND=1387
probe "hole outbound" OUTBOUND=1387 "$v6"

set_path 1500 1400 icmp
probe "working discovery outbound" OUTBOUND=1400
set_path 1500 1400 icmp
probe "working discovery outbound" OUTBOUND=1400 "$v6"

set_path 1500 1400
in_router nft -f - <<'RULES'
table inet clamp {
  chain forward {
    type filter hook forward priority 0;
    iifname toserver tcp flags syn / syn,rst tcp option maxseg size set 1360
  }
}
RULES
probe "clamped path" OUTBOUND=1400

for percent in 10 30; do
  set_path 1500
  lose "$percent"
  probe "loss and no hole"
done
set_path 1500 1400
lose 5
probe "hole beside loss" OUTBOUND=1400

# Jumbo frames at both ends.
in_server ip link set lan mtu 9000
ip -n "$router" link set toserver mtu 9000
ip -n "$router" link set toclient mtu 9000
ip -n "$client" link set wan mtu 8921
for size in 1400 1500; do
  set_path 9000 "$size"
  probe "hole outbound" OUTBOUND=$size
done
set_path 9000 9000
probe "clean path" OUTBOUND=8921
probe "clean path" OUTBOUND=8921 "$v6"
[ "$failed" -eq 0 ] || { echo "some tests failed"; exit 1; }
