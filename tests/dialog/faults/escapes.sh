#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server that says terminal escapes, line ends, NULs, bytes that are no UTF-8, text that runs backwards and markup, in each reply: what
# the daemons log, the header of a message, what the queue and a DSN say, what the command prints and what the admin socket
# serves are printable ASCII, and tell what was said.
#   escapes.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
command -v socat >/dev/null || { echo "skipped: socat is not installed"; exit 77; }
readonly server=203.0.113.5
mail_host_up
outside_up "$server"
echo "hostile.example.org smtp:[$server]" >>"$conf/transport"
postconf -c "$conf" -e soft_bounce=yes
cat >"$work/hostile.sh" <<'HOSTILE'
text=$'\e]0;owned\a\e[2J\e[31m<script>alert(1)</script>\r\e[1Aevil\tX-Evil: 1\x7f\u202e\u2066gnp.exe\xff\xc0\x80'
say() { printf '%s\0%s' "$1$text" "$(printf 'x%.0s' $(seq 600))"; printf '\r\n'; }
say 220-
say '220 '
while IFS= read -r line; do
  case ${line^^} in
    EHLO*) say 250-; say 250-AUTH; printf '250 STARTTLS\r\n' ;;
    STARTTLS*) say '554 5.7.0 ' ;;
    QUIT*) say '221 '; exit ;;
    *) say '554 5.7.1 ' ;;
  esac
done
HOSTILE
ip netns exec "$outside" socat "TCP-LISTEN:25,bind=$server,fork,reuseaddr" "SYSTEM:bash $work/hostile.sh" 2>"$work/hostile.log" &
pids+=($!)
configure "[log]
level = \"debug\""
start_daemons probed policyd milter

run smtp-source -N -f me@example.net -t you@hostile.example.org 127.0.0.1:2500
probe() { ask_admin -d "{\"destination\": \"[$server]\", \"wait\": true}" http://localhost/v1/probe >"$work/probe.out"; }
destination=http://localhost/v1/destinations/%5B$server%5D
ill() { probe; ask_admin "$destination" | jq -e '.verdict.severity | . == "critical" or . == "warning"' >/dev/null; }
until_true 60 "the hostile server is found ill" ill
# Its next message carries the header, and both stay in the queue with what the server said.
run smtp-source -N -f me@example.net -t me@hostile.example.org 127.0.0.1:2500
queued() { postqueue -c "$conf" -j | jq -r "select(.recipients[].address $1).queue_id"; }
tagged() { local id; id=$(queued '| contains("me@hostile")' | head -n 1)
  [ -n "$id" ] && postcat -c "$conf" -hq "$id" >"$work/header.told" && grep -q '^X-Postfathom-Diagnosis: ' "$work/header.told"; }
until_true 60 "the header of the next message" tagged
refused() { postqueue -c "$conf" -j >"$work/queue.json"; [ "$(grep -c '<script>' "$work/queue.json")" = 2 ]; }
until_true 60 "what the server said in the queue" refused
# And then they are returned. Of a DSN what the server said is Postfix's to tell; lines of ours, each in one piece.
dsn() {
  local id
  for id in $(queued '== "me@example.net"'); do
    postcat -c "$conf" -bhq "$id" | sed -e ':join' -e 'N' -e '$!b join' -e 's/\n[\t ]\{1,\}/ /g' >"$work/dsn"
    ! grep -ai 'postfathom' "$work/dsn" >"$work/dsn.told" || return 0
  done
  # Once is not enough: a delivery that was under way at the reload makes no DSN, and its message waits for the next run of the queue.
  run postqueue -c "$conf" -f
  return 1
}

ask_admin "$destination" >"$work/json.told"
cp "$work/probe.out" "$work/probed.told"
id=$(jq -r .queue_id <"$work/queue.json" | head -n 1)
command() { run "$postfathom" -c "$work/postfathom.toml" "$@" || true; }
command show "[$server]" >"$work/show.told" 2>&1
command list >"$work/list.told" 2>&1
command explain "$id" >"$work/explain.told" 2>&1
# A message that is being delivered again just now is not stuck.
stuck() { command queue --postfix-config "$conf" >"$work/queue.told" 2>&1 && grep -qF '<script>' "$work/queue.told"; }
until_true 60 "what the server said in the command's queue" stuck
command suggest "[$server]" >"$work/suggest.told" 2>&1
command probe "[$server]" >"$work/command.told" 2>&1
command probe "[$server]" --json >"$work/command_json.told" 2>&1
postconf -c "$conf" -X soft_bounce
run postfix -c "$conf" reload
until_true 60 "a DSN with the header" dsn
for file in "$work"/*.told "$work"/{probed,policyd,milter}.log; do
  ! LC_ALL=C grep -nP '[^\x20-\x7e\t]' "$file" | cat -v || fail "${file##*/} has bytes that are not printable"
done
for told in show json command command_json queue; do
  grep -qF '<script>alert(1)</script>' "$work/$told.told" || fail "$told does not tell what the server said: $(cat "$work/$told.told")"
done
# A line of its own would begin with what follows the server's line end.
! grep -hE '^(X-Evil|.\[1Aevil)' "$work"/*.told "$work"/{probed,policyd,milter}.log || fail "a server's text begins a line"
echo "all well: $(find "$work" -name '*.told' | wc -l) texts and three logs are printable"
