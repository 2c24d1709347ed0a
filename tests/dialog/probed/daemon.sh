#!/usr/bin/env bash
# Drives postfathom-probed as an operator does: start, ask, kill -9, start again, reload, end.
set -euo pipefail
program=$1
cli=$2

for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

work=$(mktemp -d)
pid=
cleanup() {
  if [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $1"
  echo "--- log"
  cat "$work/log" 2>/dev/null || true
  exit 1
}

configure() {  # configure [LINE OF [probe]]
  cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$work/mail.log"
[admin]
socket = "$work/admin.sock"
[probe]
${1:-}
TOML
}

ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "$@"; }

start() {
  "$program" -c "$work/postfathom.toml" >>"$work/log" 2>&1 &
  pid=$!
  for _ in $(seq 200); do
    if ask http://localhost/healthz >/dev/null 2>&1; then return 0; fi
    kill -0 "$pid" 2>/dev/null || fail "the daemon ended at its start"
    sleep 0.05
  done
  fail "the daemon does not answer"
}

# Waits until a line of the log matches.
logged() {
  for _ in $(seq 200); do
    if grep -q -- "$1" "$work/log"; then return 0; fi
    sleep 0.05
  done
  fail "the log has no line with: $1"
}

mkdir "$work/cache"
configure
# Neither a mail log nor a file in the cache: it starts and serves.
start
[ "$(ask http://localhost/healthz | jq -r .status)" = ok ] || fail "healthz"
[ "$(ask http://localhost/v1/destinations | jq '.destinations | length')" = 0 ] || fail "not empty"

# Port 9 of this host: nobody listens, so the verdict comes at once.
answer=$(ask -d '{"destination": "[127.0.0.1]:9", "wait": true}' http://localhost/v1/probe)
[ "$(jq -r .verdict.id <<<"$answer")" = refused ] || fail "verdict in: $answer"
[ "$(jq -r .freshness <<<"$answer")" = fresh ] || fail "freshness in: $answer"
[ "$(jq -r .report.destination <<<"$answer")" = "[127.0.0.1]:9" ] || fail "report in: $answer"

# The command line tells the same.
postfathom() { "$cli" -c "$work/postfathom.toml" "$@"; }
grep -q "^\[127.0.0.1\]:9: refused" <<<"$(postfathom show "[127.0.0.1]:9")" || fail "show"
[ "$(postfathom show --json "[127.0.0.1]:9" | jq -r .verdict.id)" = refused ] || fail "show --json"
grep -q "^\[127.0.0.1\]:9 .*critical" <<<"$(postfathom list)" || fail "list"
status=0
postfathom show example.org 2>"$work/unknown" || status=$?
[ "$status" = 1 ] || fail "show of an unknown place ended with $status"
status=0
timeout 10 "$cli" -c "$work/postfathom.toml" watch >"$work/watched" 2>&1 &
watcher=$!
for _ in $(seq 200); do
  if [ "$(ask http://localhost/v1/status | jq .event_readers)" = 1 ]; then break; fi
  sleep 0.05
done
ask -d '{"destination": "[127.0.0.3]:9", "wait": true}' http://localhost/v1/probe >/dev/null
for _ in $(seq 200); do
  if grep -q "\[127.0.0.3\]:9: probe finished .*refused" "$work/watched"; then break; fi
  sleep 0.05
done
grep -q "\[127.0.0.3\]:9: now refused" "$work/watched" || fail "watch: $(cat "$work/watched")"

# A second one on the same cache is refused and does no harm.
status=0
"$program" -c "$work/postfathom.toml" >"$work/second.log" 2>&1 || status=$?
[ "$status" -ne 0 ] || fail "two writers on one cache"
ask http://localhost/healthz >/dev/null || fail "the first one suffered"

# What was found outlives the process.
kill -9 "$pid"; wait "$pid" 2>/dev/null || true
wait "$watcher" || true  # its stream ended with the daemon
start
answer=$(ask "http://localhost/v1/destinations/%5B127.0.0.1%5D%3A9")
[ "$(jq -r .verdict.id <<<"$answer")" = refused ] || fail "after kill -9: $answer"
[ "$(jq -r .report.destination <<<"$answer")" = "[127.0.0.1]:9" ] || fail "after kill -9: $answer"

# A line of the mail log brings a probe.
echo "Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@[127.0.0.2]>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred (connect to 127.0.0.2[127.0.0.2]:25: Connection refused)" >>"$work/mail.log"
for _ in $(seq 200); do
  if [ "$(ask http://localhost/v1/status | jq .schedule.finished)" -gt 0 ]; then break; fi
  sleep 0.05
done
[ "$(ask http://localhost/v1/status | jq .mail_log.deliveries)" = 1 ] || fail "the mail log is not followed"
[ "$(ask http://localhost/v1/status | jq .schedule.finished)" -gt 0 ] || fail "no probe for the failure in the log"

# A bad configuration is refused with its place, and the old one stays.
configure 'concurrent = "many"'
kill -HUP "$pid"
logged "postfathom.toml:.*probe.concurrent"
ask http://localhost/healthz >/dev/null || fail "a bad configuration stopped the daemon"
configure 'concurrent = 3'
kill -HUP "$pid"
logged "settings reloaded"

# A clean end.
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" = 0 ] || fail "SIGTERM ended it with $status"
status=0
postfathom list 2>"$work/down" || status=$?
[ "$status" = 69 ] || fail "list without a daemon ended with $status"
grep -q "postfathom-probed is not running" "$work/down" || fail "no word of the daemon being down"

# Without a place for the cache there is nothing to do.
sed -i "s|^directory = .*|directory = \"/dev/null/cache\"|" "$work/postfathom.toml"
status=0
"$program" -c "$work/postfathom.toml" >"$work/second.log" 2>&1 || status=$?
[ "$status" = 74 ] || fail "an impossible cache directory ended it with $status: $(cat "$work/second.log")"
grep -q "/dev/null/cache" "$work/second.log" || fail "no clear error: $(cat "$work/second.log")"

echo "all well"
