#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long, and how many connections, the exact inbound size of a black hole takes at the lab's latency.
# The aim: 2 s and 8 connections. Run by hand, as root:
#   bench_black_hole.sh BIN_DIR [RUNS [SCENARIO]]
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
[ $# -ge 1 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0" >&2; exit 64; }
runs=${2:-10} scenario=${3:-black-hole}
lab_test "$scenario" "$1"
postfathom_files

for ((run = 1; run <= runs; run++)); do
  report=$(postfathom probe example.net --json) || [ $? -eq 2 ] || fail "the probe could not tell: $report"
  jq -c '.endpoints[0] | {id: .diagnosis.id, path_mtu: .path_mtu.inbound, exact: .path_mtu.inbound_exact} + .cost' <<<"$report"
done | tee "$LAB_DIR/runs"

# The middle one of an odd number, the upper of the two middle ones otherwise.
jq -rs --arg scenario "$scenario" '
  (map(select(.id == "pmtu-black-hole" and .path_mtu == 1400 and .exact)) | length) as $right
  | def middle: sort | .[length / 2 | floor];
  "\($scenario): \($right) of \(length) runs exact; " +
  "seconds median \(map(.seconds) | middle), max \(map(.seconds) | max) (aim 2); " +
  "connections median \(map(.connections) | middle), max \(map(.connections) | max) (aim 8)"' "$LAB_DIR/runs"
