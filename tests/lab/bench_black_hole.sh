#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long, and how many connections, the exact sizes of a path take: a hole of 1400 bytes inbound, outbound and in
# both directions, and a healthy path, in front of a real Postfix. Run by hand, as root, on an optimised build:
#   bench_black_hole.sh BUILD_DIR [RUNS [ROUND_TRIP [OTHERS]]]
# Beside that: what posttls-finger(1), tracepath(8) and scamper(1) say of the same faults, and how long they took; from the
# system, or from OTHERS (build/others), where contrib/install-dependencies bench unpacks them.
# ROUND_TRIP is in milliseconds, 30 by default; 0 is that of network namespaces, some hundredths of a millisecond, where
# a hole inbound is believed only some time after it is exact: the first connection has to stay stuck.
# Prints medians and maxima beside the aims, which are for 30 ms: until the size of the hole is exact, and of the whole
# probe, which then proves that the size works, measures the other direction and asks who drops. The exit status says
# whether all runs were exact; that an aim is missed, as on a loaded machine, does not change it.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
[ $# -ge 1 ] || { sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 64; }
build=$(readlink -f "$1") runs=${2:-10} round_trip=${3:-30} others=${4:-}
MATRIX_SOURCE=$(readlink -f "$(dirname "$0")/../..")
here=$MATRIX_SOURCE/tests/lab
: "${others:=$MATRIX_SOURCE/build/others}"
# shellcheck source=tests/lab/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/tools/certificates.sh
. "$MATRIX_SOURCE/tests/tools/certificates.sh"
# shellcheck source=tests/lab/matrix_path.sh
. "$here/matrix_path.sh"
# shellcheck source=tests/lab/matrix_servers.sh
. "$here/matrix_servers.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }
for tool in ip nft openssl jq postfix; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
if [ "$round_trip" != 0 ] && ! { [ -c /dev/net/tun ] && : <>/dev/net/tun; } 2>/dev/null; then
  echo "/dev/net/tun is not for us: no longer round trip than that of the namespaces"
  round_trip=0
fi

work=$(mktemp -d /tmp/postfathom-bench.XXXXXX)
chmod 755 "$work"
# Names that matrix_path.sh and matrix_servers.sh use.
lane_dir=$work certificates=$work/certificates PATH_DELAY_LINK=$build/tests/tools/delay_link PATH_DELAY=
[ "$round_trip" = 0 ] || PATH_DELAY=$(jq -n "$round_trip / 2")
path_use "pfb$$"
trap 'servers_stop; path_down; rm -rf "$work"' EXIT
mkdir "$certificates"
certificates_in "$certificates"
path_up
path_reset
server_start postfix chain

# What the runs of a case (one report per line) come to, as rows of the table. Connections follow one another; the
# last of the flights towards the server proves a hole that was found before.
rows='
# The middle one of an odd number, the upper of the two middle ones otherwise.
def middle: sort | .[length / 2 | floor];
def rounded: . * 100 | round / 100;
def row(what; ours; aim): "| hole \($name): \(what) | \(ours) | | | | \(if aim then "at most \(aim)" else "" end) |";
def until_exact: .attempts + if $outbound < 1500 then .flights[:-1] elif $inbound < 1500 then [] else .flights end;
def right: (.path_mtu.inbound == $inbound and ($inbound == 1500 or .path_mtu.inbound_exact)) and
  (.path_mtu.outbound == $outbound and .path_mtu.outbound_exact);
def seconds: map(until_exact | map(.seconds) | add);
def connections: map(until_exact | length);
row("runs that were exact"; "\(map(select(right)) | length) of \(length)"; null),
row("until exact"; "\(seconds | middle | rounded) s, at most \(seconds | max | rounded) s"; if $seconds then "\($seconds) s" else null end),
row("connections until exact"; "\(connections | middle), at most \(connections | max)"; $connections),
row("the whole probe"; "\(map(.cost.seconds) | middle | rounded) s, \(map(.cost.connections) | middle) connections"; null)'

# bench NAME AIM_SECONDS AIM_CONNECTIONS INBOUND OUTBOUND FAULT...
bench() {
  local name=$1 run report lines
  local -r aims=("$2" "$3") inbound=$4 outbound=$5
  shift 5
  for ((run = 0; run < runs; run++)); do
    path_set "$@"
    # It is ill, and has to be called so.
    report=$(in_client "$build/bin/postfathom" probe --name mail.example.org --ca-file "$certificates/root.pem" \
      --port "$server_port" 198.51.100.2 --json </dev/null) || [ $? -eq 2 ] || { echo "no report: $report"; exit 1; }
    jq -c '.endpoints[0]' <<<"$report"
  done >"$work/$name"
  lines=$(jq -rs --arg name "$name" --argjson seconds "${aims[0]}" --argjson connections "${aims[1]}" \
    --argjson inbound "$inbound" --argjson outbound "$outbound" "$rows" "$work/$name")
  echo "$lines"
  [[ $lines == *"exact | $runs of $runs |"* ]] || { all_exact=1 && jq -c '.path_mtu + {id: .diagnosis.id}' "$work/$name"; }
  path_set "$@"
  other "$name" posttls-finger timeout 60 posttls-finger -c -l encrypt -T 20 -F "$certificates/root.pem" \
    "[198.51.100.2]:$server_port"
  path_set "$@"
  other "$name" tracepath timeout 60 "$(tool tracepath)" -n 198.51.100.2
  path_set "$@"
  LD_LIBRARY_PATH=$others/usr/lib/x86_64-linux-gnu other "$name" 'scamper trace -M' timeout 60 "$(tool scamper)" \
    -c 'trace -P udp-paris -M' -i 198.51.100.2
}

# tool NAME: where it is, unpacked or installed.
tool() { if [ -x "$others/usr/bin/$1" ]; then echo "$others/usr/bin/$1"; else echo "$1"; fi; }

# other HOLE NAME COMMAND...: what a tool of others says of it, in its own last words about size or trouble, and its time.
other() {
  local -r hole=$1 name=$2
  local begun took status=0 words
  shift 2
  command -v "$3" >/dev/null || { echo "skipped: $name is neither installed nor unpacked"; return 0; }
  begun=$(date +%s%N)
  in_client "$@" </dev/null >"$work/other" 2>&1 || status=$?
  took=$(awk -v t=$(($(date +%s%N) - begun)) 'BEGIN { printf "%.2f", t / 1e9 }')
  words=$(grep -oiE 'pmtu:? *[0-9]+|mtu:? *[0-9]+|.*(timed out|timeout|lost connection|Anonymous TLS|Trusted TLS|Untrusted TLS|Verified TLS).*' \
    "$work/other" | tail -n 1 | tr -d "|" | cut -c 1-90) || true
  [ "$status" -ne 124 ] || words="${words:+$words; }nothing more in 60 s"
  echo "| hole $hole: what others say | | $name | $took s: ${words:-no word of a size} | | |"
}

all_exact=0
echo "round trip $round_trip ms, $runs runs each; medians"
bench inbound 1.5 7 1400 1500 inbound=1400 too-big=never-sent
bench outbound 1.0 3 1500 1400 outbound=1400 too-big=never-sent
bench both 2.5 9 1400 1400 both=1400 too-big=never-sent
bench none null 3 1500 1500
exit "$all_exact"
