#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGHUP under load, with good and bad configurations in turn: no question goes unanswered, no message is lost, a bad file is
# refused with its reason and what was in force stays.
#   reload.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
rounds=${ROUNDS:-4}
ill='[[route]]
domain = "ill.example.org"
next_hop = "[127.0.0.9]:9"'
mail_host_up
configure "$ill"
start_daemons probed policyd milter
ask_admin -d '{"destination": "[127.0.0.9]:9", "wait": true}' http://localhost/v1/probe >/dev/null

askers=()
for question in "policy $sockets/policy.sock" "dsn $sockets/dsn.sock" "milter $sockets/milter.sock" "admin $work/admin.sock"; do
  # shellcheck disable=SC2086
  "$tester" ask $question 2 >"$work/asked.${question%% *}" &
  askers+=($!)
  pids+=($!)
done

all_say() {  # all_say COUNT WORDS
  local daemon
  for daemon in policyd milter probed; do
    [ "$(grep -c -E -- "$2" "$work/$daemon.log" || true)" -ge "$1" ] || return 1
  done
}
hup() { for daemon in policyd milter probed; do pid=pid_$daemon; kill -HUP "${!pid}"; done; }
good_read=0 bad_refused=0
reload_good() {  # reload_good MODE
  policy_lines="mode = \"$1\"" milter_lines="mode = \"$1\"" configure "$ill"
  hup
  good_read=$((good_read + 1))
  until_true 30 "reload $good_read of a good file" all_say "$good_read" 'read again|settings reloaded'
}
reload_bad() {
  policy_lines='mode = "shout"' configure "$ill"
  hup
  bad_refused=$((bad_refused + 1))
  until_true 30 "refusal $bad_refused of a bad file" all_say "$bad_refused" \
    'reload refused, the settings in force stay: .*postfathom.toml:[0-9]+:[0-9]+: .*policy.mode'
}
mode_is() { [[ $("$tester" tell policy "$sockets/policy.sock" you@ill.example.org) == "$1"* ]]; }
(
  for _ in $(seq "$rounds"); do
    reload_good warn
    mode_is action=WARN || fail "mode warn is not in force"
    reload_bad
    mode_is action=WARN || fail "a bad file changed the mode"
    reload_good observe
    mode_is action=DUNNO || fail "mode observe is not in force"
    reload_bad
    mode_is action=DUNNO || fail "a bad file changed the mode"
  done
) >"$work/reloads.out" 2>&1 &
reloads=$!
pids+=($!)
begun=$SECONDS
while kill -0 "$reloads" 2>/dev/null; do send_mail 4 2; done
wait "$reloads" || { cat "$work/reloads.out"; fail "a reload went wrong"; }
for pid in "${askers[@]}"; do
  kill -TERM "$pid"
  wait "$pid" || fail "a question was dropped: $(cat "$work"/asked.*)"
done
until_true 60 "all $sent messages arrive, there are $(arrived)" all_arrived
! grep -E 'warning:.*(milter|policy|socketmap)|status=(deferred|bounced)|reject:' "$log" || fail "Postfix noticed"
for asked in "$work"/asked.*; do echo "${asked##*.}: $(cat "$asked")"; done
echo "$((SECONDS - begun)) s, $sent messages, $((2 * rounds)) reloads of a good and $((2 * rounds)) of a bad file by each daemon"
