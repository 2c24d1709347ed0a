#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# That bench_probe still measures and prints its table; numbers this small say nothing about speed.
#   bench_probe_test.sh PROGRAM
set -euo pipefail
command -v openssl >/dev/null || { echo "skipped: openssl is not installed"; exit 77; }
table=$("$1" --seconds 0.3 --rounds 1 --at-a-time 4 --in-flight 5 --patience 8)
echo "$table"
# row WORDS AIM: with what was got and its ratio to the aim, which are numbers other than 0.
row() {
  grep -Eq "^$1.* $2 +[0-9.]*[1-9][0-9.]*( MB)? +[0-9]+[.][0-9]+\$" <<<"$table" || { echo "no row: $1"; exit 1; }
}
row '5 probes in flight' '250 MB'
row 'probes beside the bare client' '0[.]7'
if [ -x /usr/sbin/posttls-finger ]; then row 'probes beside processes' '5[.]0'; fi
