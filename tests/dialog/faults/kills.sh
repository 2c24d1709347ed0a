#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each daemon is killed with SIGKILL KILLS (200) times at random moments, all three at once, while mail flows: every message
# is delivered, the cache is sound each time it is opened, no lock or socket stands in the way of the next start.
#   kills.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
kills=${KILLS:-200}
mail_host_up

loops=()
for daemon in policyd milter probed; do
  ip netns exec "$name" "$tester" kill "$(surface_of "$daemon")" "$(socket_of "$daemon")" "$kills" "${SEED:-1}" 250 \
    "${!daemon}" -c "$work/postfathom.toml" >"$work/$daemon.kills" 2>>"$work/$daemon.log" &
  loops+=($!)
  pids+=($!)
done
# The prober is to be killed while it writes: verdicts come at once from ports that nobody listens on.
(
  while :; do
    curl -sS --max-time 5 --unix-socket "$work/admin.sock" -d "{\"destination\": \"[127.0.0.$((RANDOM % 200 + 2))]:9\"}" \
      http://localhost/v1/probe >/dev/null 2>&1 || true
    pause 0.2
  done
) &
pids+=($!)

over() { [ "$(cat "$work"/*.kills 2>/dev/null | grep -c 'kills; it answered')" -eq 3 ]; }
failed() { grep -h FAILED "$work"/*.kills; }
begun=$SECONDS
until over; do
  ! failed || exit 1
  [ "$((SECONDS - begun))" -lt 400 ] || fail "$kills kills took longer than 400 s"
  send_mail 4 2
  pause 0.6
done
for daemon in policyd milter probed; do echo "$daemon: $(cat "$work/$daemon.kills")"; done
echo "$((SECONDS - begun)) s, $sent messages sent meanwhile"

until_true 120 "all $sent messages arrive, there are $(arrived)" all_arrived
until_true 60 "nothing is left in the queue" eval '[ "$(postqueue -c "$conf" -j | wc -l)" -eq 0 ]'
[ "$(grep -c '^X-Mail-Args:' "$sink")" -eq "$sent" ] || echo "$(grep -c '^X-Mail-Args:' "$sink") deliveries of $sent messages"
! grep -E 'status=(deferred|bounced)' "$log" || fail "mail was deferred or bounced"
! grep -E 'reject:|(panic|fatal):' "$log" || fail "Postfix refused mail, or one of its programs ended"

# The cache: written to while the prober died, whole at each of its starts, and its lock free.
status=$(ask_admin http://localhost/v1/status)
[ "$(jq .cache.unreadable <<<"$status")" = 0 ] || fail "unreadable records: $status"
[ "$(jq '.cache.destinations + .cache.routes' <<<"$status")" -ge 5 ] || fail "nothing was stored: $status"
[ -z "$(find "$work/cache" -name '*.damaged-*')" ] || fail "the cache was set aside: $(ls "$work/cache")"
! grep -E 'set aside|writes this cache already|in use by' "$work/probed.log" || fail "a lock or a file was in the way"
run "$postfathom" -c "$work/postfathom.toml" list >/dev/null || fail "postfathom list"

# They run on, and end well when they are asked to.
send_mail 2
until_true 60 "mail while they run" all_arrived
for pid in "${loops[@]}"; do
  kill -TERM "$pid"
  wait "$pid" || fail "a daemon did not end well: $(cat "$work"/*.kills)"
done
echo "all well: $sent messages, $((3 * kills)) kills"
