#!/usr/bin/env bash
# Speaks the milter protocol to the real program with miltertest (opendkim), a script per behaviour.
. "$(dirname "$(readlink -f "$0")")/common.sh"
for program in miltertest ${RUN_UNDER:-}; do
  case $program in -*) continue ;; esac
  command -v "$program" >/dev/null || skip "$program is not installed"
done

write_config "$work/milter.sock"
"$tool" fill "$work/cache" ill.example.org '[mx1.example.net]' '[mx2.example.net]:2525' \
  '[mx3.example.net]' '[mx4.example.net]' '[mx5.example.net]'
start_milter
start_notices

for script in "$here"/*.lua; do
  check "$(basename "$script" .lua)" miltertest -D socket="unix:$socket" -s "$script"
done

sessions=()
for _ in $(seq 12); do
  miltertest -D socket="unix:$socket" -s "$here/ill_next_hop.lua" &
  sessions+=($!)
done
broken=0
for session in "${sessions[@]}"; do wait "$session" || broken=$((broken + 1)); done
check "sessions at the same time do not disturb each other" test "$broken" -eq 0

check "a route that Postfix uses is sent as a notice" \
  poll 60 grep -qxF 'route-learned example.org ill.example.org ILL.example.org smtp' "$work/notices"
check "and sent once" \
  test "$(grep -c '^route-learned example.org ill.example.org ' "$work/notices")" -eq 1
check "a next hop that nobody has probed is asked for" \
  poll 60 grep -qxF 'verdict-wanted unknown.example.org' "$work/notices"
check "mail that stays here teaches nothing" \
  bash -c '! grep -q "local.example.org\|rejected.example.org" "$1"' _ "$work/notices"
check "the program says what to write into main.cf" \
  grep -qF "smtpd_milters = { unix:$socket, connect_timeout=3s, command_timeout=5s, content_timeout=5s, default_action=accept }" "$work/milter.log"

# A second program must not take the socket from the first.
status=0
"$milter" -c "$work/postfathom.toml" 2>"$work/second.log" || status=$?
check "a second milter on the same socket is refused" test "$status" -ne 0
check "and the reason names the socket" grep -qF "$socket: in use" "$work/second.log"

begun=$(date +%s%N)
check "SIGTERM ends it well" stop_milter
[ -n "${RUN_UNDER:-}" ] || check "and at once" test $((($(date +%s%N) - begun) / 1000000)) -lt 2000
check "and its socket is gone" test ! -e "$socket"
check "nothing went wrong on the way" bash -c '! grep -E " (error|warning): " "$1"' _ "$work/milter.log"

# What an ended program left behind is no obstacle.
start_milter
kill -KILL "$milter_pid"; wait "$milter_pid" 2>/dev/null || true
check "after kill -9 the socket is left behind" test -S "$socket"
"$milter" -c "$work/postfathom.toml" 2>>"$work/milter.log" &
milter_pid=$!
check "and the next start takes its place" \
  poll 60 miltertest -D socket="unix:$socket" -s "$here/ill_next_hop.lua"
check "SIGINT ends it well, too" bash -c 'kill -INT "$1"' _ "$milter_pid"
status=0; wait "$milter_pid" || status=$?; milter_pid=
check "with status 0" test "$status" -eq 0
report
