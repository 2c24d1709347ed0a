#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# json.sh POSTFATHOM PROBED ROOT: every member that --json prints is in docs/json.md.
set -euo pipefail
program=$1 probed=$2 root=$3
. "$(dirname "$0")/daemon.bash"
ill='[127.0.0.1]:9'

# Names of members, but for those that are kinds of failures or sentences.
members() { jq -r 'del(.failures?, .own_faults?, .destinations[]?.failures?) | [paths | map(strings) | last | values] | unique | .[]' | sort -u; }
grep -oE '`[^`]+`|"[^"]+"' "$root/docs/json.md" | tr -d '`"' | sort -u >"$work/documented"
undocumented() { comm -23 - "$work/documented"; }
told=0
documented() {  # WHAT <JSON
  local -r names=$(members)
  local -r missing=$(undocumented <<<"$names" | paste -sd' ')
  [ -n "$names" ] || fail "$1 printed nothing"
  [ -z "$missing" ] || fail "$1: docs/json.md says nothing of $missing"
  told=$((told + $(wc -l <<<"$names")))
}
run() { postfathom "$@" 2>/dev/null || true; }

for report in "$root"/tests/data/report/*.json; do documented "$report" <"$report"; done
write_settings </dev/null
start_daemon
(exec "$program" -c "$work/postfathom.toml" watch --json) >"$work/events" 2>/dev/null &
watcher=$!
at_end() { kill "$watcher" 2>/dev/null || true; wait "$watcher" 2>/dev/null || true; }
listens() { [ "$(ask http://localhost/v1/status | jq .event_readers)" = 1 ]; }
until_true 60 "somebody watches" listens
run verify --json "$ill" >"$work/verified"
documented verify <"$work/verified"
run show --json "$ill" | documented show
run list --json | documented list
run status --json | documented status
run probe --json "$ill" | documented probe
run probe --compare --service smtp --port 9 --timeout 5s --json "$ill" | documented "probe --compare"
echo '{"queue_name": "deferred", "queue_id": "A", "arrival_time": 1795411476, "recipients": [{"address": "a@[127.0.0.1]", "delay_reason": "x"}]}' |
  postfathom queue --no-probe --json --file - | documented queue
run log --json "$root/tests/data/mail_log/postfix-3.7-sender.log" | documented log
echo 'Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@[127.0.0.1]>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred (connect to 127.0.0.1[127.0.0.1]:9: Connection refused)
Nov 23 01:12:21 mx postfix/error[3911]: 45952A7814D: to=<you@[127.0.0.1]>, relay=none, delay=61, delays=0/61/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to 127.0.0.1[127.0.0.1]:9: Connection refused)' |
  postfathom explain --json 45952A7814D --log - | documented explain
run check --json "$ill" | documented check
run doctor --json | documented doctor
mkdir "$work/postfix"
printf 'compatibility_level = 3.6\nqueue_directory = %s\n' "$work" >"$work/postfix/main.cf"
touch -d '1 hour ago' "$work/postfix/main.cf"  # postconf(1) waits for one that is new
printf 'smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\n' >"$work/postfix/master.cf"
run setup --json --postfix-config "$work/postfix" | documented setup
run suggest --json "$ill" | documented suggest
run forget --json "$ill" | documented forget
seen() { grep -q forgotten "$work/events"; }
until_true 60 "the events come" seen
documented watch <"$work/events"
[ "$(wc -l <"$work/events")" -ge 3 ] || fail "too few events: $(cat "$work/events")"
[ "$told" -gt 200 ] || fail "looked at $told members only"
echo "JSON: documented"
