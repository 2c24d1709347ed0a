#!/usr/bin/env bash
# log.sh POSTFATHOM DATA: `postfathom log` on the corpus of DATA/mail_log against DATA/log, and on what is no log.
# POSTFATHOM_UPDATE_GOLDEN=1 in the environment writes DATA/log anew: read the difference before committing it.
set -euo pipefail
program=$1 data=$2
command -v jq >/dev/null || { echo "skipped: jq is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

for name in postfix-3.7-sender postfix-3.7-receiver; do
  "$program" log "$data/mail_log/$name.log" >"$work/$name"
  [ -z "${POSTFATHOM_UPDATE_GOLDEN:-}" ] || cp "$work/$name" "$data/log/$name.txt"
  diff -u "$data/log/$name.txt" "$work/$name" || fail "$name: the report has changed"
  "$program" log - <"$data/mail_log/$name.log" | diff -u "$work/$name" - || fail "$name: a pipe reads otherwise"
  # A time stamp of journalctl -o short-iso-precise in place of syslog's.
  sed 's/^Nov \([0-9]*\) \([0-9:]*\) /2026-11-\1T\2.123456+0000 /' "$data/mail_log/$name.log" | "$program" log --json - >"$work/iso"
  "$program" log --json "$data/mail_log/$name.log" >"$work/syslog"
  times='del(.destinations[].first_failure, .destinations[].last_failure, .destinations[].last_success)'
  diff <(jq "$times" "$work/iso") <(jq "$times" "$work/syslog") || fail "$name: other time stamps make another report"
done
"$program" log --json "$data/mail_log/postfix-3.7-sender.log" |
  jq -e '.destinations[] | select(.destination == "[hang.example.org]:25") | .failures["handshake timed out"] == 1' >/dev/null ||
  fail "the stalled handshake is not in the JSON"

status=0
"$program" log "$work/nowhere" 2>"$work/err" || status=$?
[ "$status" -eq 66 ] && grep -q 'nowhere: No such file' "$work/err" || fail "no file: status $status, $(cat "$work/err")"
status=0
"$program" log "$work" 2>"$work/err" || status=$?
[ "$status" -eq 66 ] || fail "a directory: status $status, $(cat "$work/err")"
status=0
head -c 3000000 /dev/urandom | "$program" log - >/dev/null 2>"$work/err" || status=$?
[ "$status" -eq 65 ] && grep -q 'zcat' "$work/err" || fail "noise: status $status, $(cat "$work/err")"
status=0
head -c 50000000 /dev/zero | "$program" log - >/dev/null 2>"$work/err" || status=$?
[ "$status" -eq 65 ] || fail "one line of 50 MB: status $status, $(cat "$work/err")"
"$program" log /dev/null >"$work/empty" || fail "an empty log"
grep -q '^0 lines' "$work/empty" || fail "an empty log: $(cat "$work/empty")"
echo "logs: read"
