# For scripts.sh and postfix.sh: a work directory, a running milter, and their clean-up.
set -euo pipefail
milter=$1
tool=$2
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
chmod 755 "$work"
started=()
milter_pid=
failures=0
trap finish EXIT

skip() { echo "skipped: $*"; exit 77; }
check() {  # check WHAT COMMAND...
  local what=$1; shift
  if "$@"; then echo "ok: $what"; else echo "FAILED: $what"; failures=$((failures + 1)); fi
}

# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../poll.bash"
end_process() {  # end_process PID
  kill -CONT "$1" 2>/dev/null || true
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
write_config() {  # write_config SOCKET [MODE] [more of the file]; without MODE none is written
  local mode='' confinement=auto
  [ -z "${2-}" ] || mode="mode = \"$2\""
  # valgrind makes system calls of its own.
  [ -z "${RUN_UNDER:-}" ] || confinement=off
  mkdir -p "$work/cache"
  cat >"$work/postfathom.toml" <<TOML
[log]
level = "debug"
[confinement]
mode = "$confinement"
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[milter]
socket = "$1"
socket_mode = "0666"
host_token = "relay.example.net"
$mode
${3-}
TOML
  socket=$1
}
start_milter() {
  # RUN_UNDER: valgrind, see CMakeLists.txt.
  ${RUN_UNDER:-} "$milter" -c "$work/postfathom.toml" 2>>"$work/milter.log" &
  milter_pid=$!
  poll 30 test -S "$socket" || { echo "the milter does not listen:"; cat "$work/milter.log"; exit 1; }
}
read_again() {  # SIGHUP, and waits for the milter's word on it
  local before
  before=$(grep -c 'reload' "$work/milter.log" || true)
  kill -HUP "$milter_pid"
  poll 60 bash -c '[ "$(grep -c reload "$1")" -gt "$2" ]' _ "$work/milter.log" "$before"
}
stop_milter() {  # its exit status
  local status=0
  kill -TERM "$milter_pid"
  wait "$milter_pid" || status=$?
  milter_pid=
  return "$status"
}
start_notices() {
  "$tool" notices "$work/notice.sock" >"$work/notices" 2>&1 &
  started+=($!)
  poll 60 test -S "$work/notice.sock"
}
finish() {
  [ -z "$milter_pid" ] || end_process "$milter_pid"
  for pid in "${started[@]}"; do end_process "$pid"; done
  rm -rf "$work"
}
report() {
  [ "$failures" -eq 0 ] || { echo "--- milter's log"; tail -n 50 "$work/milter.log"; exit 1; }
}
