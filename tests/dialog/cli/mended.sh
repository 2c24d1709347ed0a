#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mended.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: mail is stuck behind a black hole; `postfathom queue` finds it and
# prints the fix, the printed command is run, and `postfathom verify` tells that it is mended.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../probed/daemon_lab.sh"

port=2525 place='[198.51.100.2]:2525'

make_links
set_path 1400
make_certificates
start
serve "$port" normal chain

listing="$work/listing"
echo '{"queue_name": "deferred", "queue_id": "AF4C3A8E0ED", "arrival_time": 1795411476, "message_size": 598, "forced_expire": false, "sender": "me@example.com", "recipients": [{"address": "you@example.org", "delay_reason": "Cannot start TLS: handshake failure"}]}' >"$listing"
printf '[[route]]\ndomain = "example.org"\nnext_hop = "%s"\n' "$place" >>"$work/postfathom.toml"

postfathom queue --file "$listing" --json >"$work/queue.json"
jq -e --arg place "$place" '.groups[0] | .next_hop == $place and .verdict.id == "pmtu-black-hole" and .verdict.direction == "inbound"
  and .verdict.path_mtu == 1400 and .suggestion.proven' "$work/queue.json" >/dev/null || fail "queue: $(cat "$work/queue.json")"
postfathom queue --file "$listing" --no-probe >"$work/queue.txt"
grep -q 'pmtu-black-hole inbound, path MTU 1400' "$work/queue.txt" || fail "queue: $(cat "$work/queue.txt")"
grep -q 'mtu 1400 .*# proven by a counter-probe' "$work/queue.txt" || fail "queue has no fix: $(cat "$work/queue.txt")"

status=0
postfathom verify "$place" >"$work/verify.txt" || status=$?
[ "$status" -eq 2 ] && grep -q 'Not mended' "$work/verify.txt" || fail "verify of what is ill: $status, $(cat "$work/verify.txt")"

fix=$(postfathom show --json "$place" | jq -r '[.report.suggestions[] | select(.kind == "route-mtu")][0].commands[0]')
[ -n "$fix" ] && [ "$fix" != null ] || fail "no route is suggested"
in_client bash -c "$fix"
status=0
postfathom verify "$place" >"$work/verify.txt" || status=$?
[ "$status" -eq 0 ] || fail "verify of what is mended: $status, $(cat "$work/verify.txt")"
for line in '^  before: pmtu-black-hole inbound' '^  ok +TLS handshake +ok' '^ +before +stalled' '^  ok +path MTU from the server' \
  '^  .* lost packets +[0-9]+ sent again, [0-9]+ missed' '^Mended\.$'; do
  grep -qE "$line" "$work/verify.txt" || fail "verify has no line like $line: $(cat "$work/verify.txt")"
done
postfathom check "$place" >"$work/check.txt" || fail "check: $(cat "$work/check.txt")"
grep -qE '^POSTFATHOM OK - .*handshake=[0-9.]+s;;;0; path_mtu_inbound=[0-9]+B' "$work/check.txt" || fail "check: $(cat "$work/check.txt")"
echo "stuck, found, mended and verified"
cat "$work/verify.txt"
