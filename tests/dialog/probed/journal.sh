#!/usr/bin/env bash
# journal.sh POSTFATHOM-PROBED: the daemon reads a real journal, of a journald with a /run of its own.
set -euo pipefail
program=$1

skip() { echo "skipped: $1"; exit 77; }
journald=/lib/systemd/systemd-journald
[ "$(id -u)" = 0 ] || skip "needs root, for a mount namespace"
for tool in curl jq unshare logger journalctl; do
  command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ -x "$journald" ] || skip "systemd-journald is not installed"
[ -s /etc/machine-id ] || skip "this host has no machine-id"
if [ -z "${JOURNAL_TEST_INSIDE:-}" ]; then
  unshare --mount true 2>/dev/null || skip "no mount namespaces here"
  JOURNAL_TEST_INSIDE=1 exec unshare --mount "$0" "$@"
fi
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log

work=$(mktemp -d)
pid=
journald_pid=
cleanup() {
  for child in $pid $journald_pid; do
    kill -9 "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "FAILED: $1"
  cat "$work/log" 2>/dev/null || true
  exit 1
}
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
# eventually WHAT COMMAND...: the command succeeds within half a minute.
eventually() { poll 30 "${@:2}" || fail "$1"; }

mkdir -p /run/log/journal /run/systemd
"$journald" >"$work/journald" 2>&1 &
journald_pid=$!
poll 10 test -S /run/systemd/journal/dev-log || skip "journald does not run here: $(tail -n 1 "$work/journald")"

delivered() {  # delivered QUEUE_ID [FACILITY]
  logger --socket /run/systemd/journal/dev-log --tag postfix/smtp --id=4711 --priority "${2:-mail}.info" \
    "$1: to=<you@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
}
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
source = "journal"
[admin]
socket = "$work/admin.sock"
TOML
mkdir "$work/cache"
ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "http://localhost$1" 2>/dev/null; }
serves() { kill -0 "$pid" 2>/dev/null || fail "the daemon ended"; ask /healthz >/dev/null; }
seen() { [ "$(ask /v1/status | jq .mail_log.deliveries)" = "$1" ]; }
start() {
  "$program" -c "$work/postfathom.toml" >>"$work/log" 2>&1 &
  pid=$!
  eventually "the daemon does not answer" serves
}
reader() { cat "/proc/$pid/task/$pid/children"; }
has_reader() { [ -n "$(reader)" ]; }

delivered AAAAA11111  # old: before the daemon came for the first time
journalctl --sync || skip "journalctl does not reach this journald"
start
eventually "no journalctl runs" has_reader
# journalctl has found the end when what is written now arrives: repeated, for it may still be on its way there.
arrives() { delivered BBBBB00000; [ "$(ask /v1/status | jq .mail_log.deliveries)" -gt 0 ]; }
eventually "the journal is not followed" arrives
delivered CCCCC00000 user  # not of the mail facility
# All that was written is read when the position is that of the last entry.
caught_up() {
  journalctl --sync
  [ "$(cat "$work/cache/journal.position" 2>/dev/null)" = "$(journalctl -q -o json -n 1 SYSLOG_FACILITY=2 | jq -r .__CURSOR)" ]
}
eventually "the position is not the end of the journal" caught_up
first=$(ask /v1/status | jq .mail_log.deliveries)

delivered DDDDD00000
eventually "a delivery is not seen" seen $((first + 1))

# journalctl dies: nothing is lost, nothing is read twice.
kill -9 "$(reader | tr -d ' ')"
for id in EEEEE11111 EEEEE22222; do delivered "$id"; done
eventually "after the end of journalctl: $(ask /v1/status | jq .mail_log.deliveries) of $((first + 3)) deliveries" seen $((first + 3))

# The daemon ends, mail goes on, the daemon comes back: more than the ten lines that --follow shows by default.
kill "$pid"; wait "$pid" || true
pid=
grep -q '^s=' "$work/cache/journal.position" || fail "no position is kept"
for n in $(seq 10 34); do delivered "FFFFF000$n"; done
start
eventually "lines of the time between are lost" seen 25
delivered ABABA00000
eventually "a line after that is not seen" seen 26

# journald is started anew, then its files are rotated and the old ones removed. Repeated, for logger(1) does not tell that
# nobody listens yet.
more_than() { delivered "$2"; [ "$(ask /v1/status | jq .mail_log.deliveries)" -gt "$1" ]; }
kill "$journald_pid"; wait "$journald_pid" || true
"$journald" >"$work/journald" 2>&1 &
journald_pid=$!
eventually "lines behind the start of journald are not seen" more_than 26 CDCDC00000
journalctl -q --rotate --vacuum-files=1
[ "$(find /run/log/journal -name '*.journal' | wc -l)" -eq 1 ] || fail "the journal was not rotated away: $(find /run/log/journal -type f)"
eventually "lines behind the rotation are not seen" more_than "$(ask /v1/status | jq .mail_log.deliveries)" DEDED00000
children=$(reader)
kill "$pid"; wait "$pid" || true
pid=
for child in $children; do
  [ ! -e "/proc/$child" ] || fail "journalctl outlives the daemon"
done
echo "journal: followed"
