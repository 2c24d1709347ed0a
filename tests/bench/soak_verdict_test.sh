#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# That the verdict of a soak can fail: on memory that grows, on descriptors, on threads; and not on what only wavers.
set -euo pipefail
verdict=$(dirname "$(readlink -f "$0")")/soak_verdict
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# samples LEAK_PER_HOUR DESCRIPTORS_PER_HOUR THREADS_PER_HOUR [SECONDS]: every ten seconds, with a warm-up of 3 MiB and a
# waver of 300 KiB that no line should take for growth.
samples() {
  awk -v leak="$1" -v fds="$2" -v threads="$3" -v seconds="${4:-1800}" 'BEGIN {
    for (t = 0; t <= seconds; t += 10) {
      warm = t < 200 ? 3072 * (t / 200 - 1) : 0
      printf "%d policyd %d %d %d %d %d\n", t, 30000, 12000, 9000 + warm + (t % 70) * 5 + leak * t / 3600, 20 + fds * t / 3600, 3 + threads * t / 3600
      printf "%d probed %d %d %d %d %d\n", t, 90000, 42000, 60000 + (t % 30) * 10, 40 + (t % 40 == 0), 2
    }
  }' >"$work/samples"
}
expect() {  # expect STATUS WORDS: of the samples
  local status=0
  "$verdict" "$work/samples" >"$work/out" || status=$?
  [ "$status" -eq "$1" ] || { echo "FAILED: exit status $status in place of $1"; cat "$work/out"; exit 1; }
  grep -q "$2" "$work/out" || { echo "FAILED: no word of $2"; cat "$work/out"; exit 1; }
}
samples 0 0 0; expect 0 'policyd .* flat'
samples 4096 0 0; expect 1 'policyd .* MEMORY GROWS'
grep -q 'probed .* flat' "$work/out" || { echo "FAILED: both are blamed"; exit 1; }
samples 0 12 0; expect 1 'policyd .* DESCRIPTORS GROW'
samples 0 0 12; expect 1 'policyd .* THREADS GROW'
samples 0 0 0 700; expect 2 'too few to judge'
: >"$work/samples"; expect 2 'no samples'
