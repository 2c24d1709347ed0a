#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# That bench_probe still measures and prints its table; numbers this small say nothing about speed.
#   bench_probe_test.sh PROGRAM
set -euo pipefail
command -v openssl >/dev/null || { echo "skipped: openssl is not installed"; exit 77; }
table=$("$1" --seconds 0.3 --rounds 1 --at-a-time 4 --in-flight 5 --patience 8)
echo "$table"
# row WORDS BESIDE: with what was got and what the other got, which are numbers other than 0.
row() {
  grep -Eq "^[|] $1.* [|] [0-9.]*[1-9][0-9.]* [^|]*[|] $2[^|]*[|] [0-9.]*[1-9][0-9.]* " <<<"$table" || { echo "no row: $1"; exit 1; }
}
row 'memory of 5 probes in flight' before
row 'STARTTLS conversations of one thread' 'bare OpenSSL client'
if [ -x /usr/sbin/posttls-finger ]; then row 'STARTTLS conversations' posttls-finger; fi
