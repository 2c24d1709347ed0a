# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A postfathom-probed of its own and the command that asks it. Sourced. Expects $probed and $program; sets $work,
# ends what it began, and shows the daemon's log when a test failed.

for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

work=$(mktemp -d)
daemon_pid=
at_end() { :; }  # for tests to replace
cleanup() {
  local -r status=$?
  at_end
  stop_daemon KILL
  [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || { echo "--- postfathom-probed"; tail -n 60 "$work/daemon.log"; } 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

fail() { echo "FAILED: $*"; exit 1; }
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../poll.bash"
# until_true SECONDS WHAT COMMAND...
until_true() { poll "$1" "${@:3}" || fail "after $1 s: $2"; }

write_settings() {
  mkdir -p "$work/cache"
  cat >"$work/postfathom.toml"
  cat >>"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$work/mail.log"
[admin]
socket = "$work/admin.sock"
[policy]
socket = "$work/policy.sock"
[dsn]
socket = "$work/dsn.sock"
[milter]
socket = "$work/milter.sock"
TOML
}

ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "$@"; }
answers() { ask http://localhost/healthz >/dev/null 2>&1; }
start_daemon() {  # [PREFIX...]: such as ip netns exec NAME
  "$@" "$probed" -c "$work/postfathom.toml" >>"$work/daemon.log" 2>&1 &
  daemon_pid=$!
  until_true 60 "the daemon answers" answers
}
stop_daemon() {  # [SIGNAL]
  [ -n "$daemon_pid" ] || return 0
  kill -"${1:-TERM}" "$daemon_pid" 2>/dev/null || true
  wait "$daemon_pid" 2>/dev/null || true
  daemon_pid=
}

postfathom() { "$program" -c "$work/postfathom.toml" "$@"; }
# expect STATUS ARGUMENT...: runs the command; its output is in $work/out and $work/err.
expect() {
  local -r wanted=$1
  local status=0
  shift
  postfathom "$@" >"$work/out" 2>"$work/err" || status=$?
  [ "$status" -eq "$wanted" ] || fail "postfathom $*: expected status $wanted, found $status: $(cat "$work/out" "$work/err")"
}
out_has() { grep -qE -- "$1" "$work/out" || fail "expected /$1/ in: $(cat "$work/out")"; }
err_has() { grep -qE -- "$1" "$work/err" || fail "expected /$1/ in: $(cat "$work/err")"; }
json_is() { jq -e "$1" "$work/out" >/dev/null || fail "expected $1 in: $(cat "$work/out")"; }
