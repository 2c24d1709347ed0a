#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long postfathom-probed takes for the exact verdicts on a fleet of servers at once, all behind a hole of 1400 bytes
# inbound, beside the same probes one after the other. Run by hand, as root, on an optimised build:
#   bench_fleet.sh BUILD_DIR [SERVERS [ROUND_TRIP]]
# At most 200 servers, 200 by default; the round trip is in milliseconds, 30 by default. Exit status 1 when a verdict is wrong.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
[ $# -ge 1 ] || { sed -n '3,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
build=$(readlink -f "$1") servers=${2:-200} round_trip=${3:-30}
MATRIX_SOURCE=$(readlink -f "$(dirname "$0")/../..")
here=$MATRIX_SOURCE/tests/lab
# shellcheck source=tests/lab/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/tools/certificates.sh
. "$MATRIX_SOURCE/tests/tools/certificates.sh"
# shellcheck source=tests/lab/matrix_path.sh
. "$here/matrix_path.sh"
# shellcheck source=tests/lab/matrix_servers.sh
. "$here/matrix_servers.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }
for tool in ip nft openssl jq curl postfix; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$servers" -le 200 ] || { echo "at most 200 servers"; exit 64; }
if ! { [ -c /dev/net/tun ] && : <>/dev/net/tun; } 2>/dev/null; then round_trip=0; fi

work=$(mktemp -d /tmp/postfathom-bench.XXXXXX)
chmod 755 "$work"
# Names that matrix_path.sh and matrix_servers.sh use.
lane_dir=$work certificates=$work/certificates PATH_DELAY_LINK=$build/tests/tools/delay_link PATH_DELAY=
[ "$round_trip" = 0 ] || PATH_DELAY=$(jq -n "$round_trip / 2")
path_use "pff$$"
trap 'servers_stop; path_down; rm -rf "$work"' EXIT
mkdir "$certificates" "$work/cache"
certificates_in "$certificates"
path_up
path_reset
for ((i = 0; i < servers; i++)); do ip -n "$path_server" addr add "198.51.100.$((i + 10))/24" dev lan; done
server_start postfix chain
path_set inbound=1400 too-big=never-sent
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
[mail_log]
file = ""
[probe]
per_hour = 10000
ca_file = "$certificates/root.pem"
TOML
ip netns exec "$path_client" "$build/bin/postfathom-probed" -c "$work/postfathom.toml" 2>"$work/probed.log" &
server_pids+=($!)
ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "$@"; }
answers() { ask http://localhost/healthz >/dev/null 2>&1; }
finished() { [ "$(ask http://localhost/v1/status | jq .schedule.finished)" -ge "$1" ]; }
wait_for 10 "postfathom-probed answers" answers

destination() { echo "[198.51.100.$(($1 + 10))]:$server_port"; }
now() { date +%s%N; }
seconds() { awk -v t="$1" 'BEGIN { printf "%.1f", t / 1e9 }'; }
begun=$(now)
for ((i = 0; i < servers; i++)); do
  ask -o /dev/null -d "{\"destination\": \"$(destination "$i")\"}" http://localhost/v1/probe
done
wait_for 600 "all probes ended" finished "$servers"
took=$(($(now) - begun))
right=$(ask 'http://localhost/v1/destinations?limit=1000' |
  jq '[.destinations[].verdict | select(.id == "pmtu-black-hole" and .path_mtu == 1400 and .path_mtu_exact)] | length')
used=$(awk -v tick="$(getconf CLK_TCK)" '{ printf "%.0f", ($14 + $15) / tick / '"$servers"' * 1000 }' "/proc/${server_pids[-1]}/stat")

# Some of them alone, each anew.
alone=5
begun=$(now)
for ((i = 0; i < alone; i++)); do
  ask -o /dev/null -d "{\"destination\": \"$(destination "$i")\", \"wait\": true}" http://localhost/v1/probe
done
each=$((($(now) - begun) / alone))
echo "| $servers servers behind a hole, $round_trip ms away: all verdicts | $(seconds "$took") s | one probe after the other, by the mean of $alone | $(seconds $((each * servers))) s | $(
  awk -v a="$took" -v b=$((each * servers)) 'BEGIN { printf "%.2f", a / b }') | |"
echo "| the same: verdicts that were exact | $right of $servers | | | | all |"
echo "| the same: processor time of a probe | $used ms | | | | |"
[ "$right" -eq "$servers" ] || { echo "WRONG: $((servers - right)) verdicts"; exit 1; }
