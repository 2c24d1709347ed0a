#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# queue.sh POSTFATHOM PROBED: `postfathom queue` on a saved listing, with the daemon and without.
set -euo pipefail
program=$1 probed=$2
. "$(dirname "$0")/daemon.bash"

# Port 9 of this host: nobody listens, so a verdict comes at once.
write_settings <<TOML
[[route]]
domain = "example.org"
next_hop = "[127.0.0.1]:9"
TOML
message() {  # ID QUEUE ARRIVAL RECIPIENTS
  echo "{\"queue_name\": \"$2\", \"queue_id\": \"$1\", \"arrival_time\": $3, \"message_size\": 598, \"forced_expire\": false, \"sender\": \"me@example.com\", \"recipients\": [$4]}"
}
to() { echo "{\"address\": \"$1\", \"delay_reason\": \"$2\"}"; }
stalled="Cannot start TLS: handshake failure"
{
  message AF4C3A8E0ED deferred 1795411476 "$(to a@example.org "$stalled"), $(to b@EXAMPLE.org "$stalled")"
  message AF4C3A8E0EE deferred 1795411470 "$(to c@example.org "$stalled")"
  message AF4C3A8E0EF deferred 1795411400 "$(to c@example.com "connect to relay.example.net[127.0.0.1]:9: Connection refused")"
  message AF4C3A8E0F0 deferred 1795411400 "$(to c@mail.example.net "host mx[192.0.2.1] said: 452 4.2.2 \\u001b[31mfull")"
  message AF4C3A8E0F1 hold 1795411400 "$(to c@example.net x)"
  message AF4C3A8E0F2 active 1795411400 '{"address": "d@example.net"}'
  echo noise
} >"$work/listing"

# Without a daemon: the groups, and what is missing.
expect 69 queue --file "$work/listing"
out_has '^\[127\.0\.0\.1\]:9 +2 +[0-9]+ '
out_has '^4 messages stuck, of 6 in the queue; 1 on hold; 1 under way'
err_has 'no diagnosis.*postfathom-probed is not running'
err_has '1 lines? could not be read'

start_daemon
# A route that Postfix was seen to use.
route='{"v":1,"notice":"route-learned","domain":"example.com","next_hop":"[127.0.0.2]:9","verbatim":"[127.0.0.2]:9","transport":"smtp","learned_at":1795411000000}'
learn() {
  [ "$(ask http://localhost/v1/routes/example.com | jq -r .next_hop)" = "[127.0.0.2]:9" ] && return
  printf '%s' "$route" | socat -u - "UNIX-SENDTO:$work/notice.sock" && return 1
}
if command -v socat >/dev/null; then
  until_true 60 "the route is learned" learn
else
  echo "without socat: learned routes are not tried"
fi

expect 0 queue --file "$work/listing" --no-probe
out_has '^\[127\.0\.0\.1\]:9 .*not probed yet'
expect 0 queue --file "$work/listing"
out_has '^\[127\.0\.0\.1\]:9 +2 .* handshake +refused'
out_has 'mail\.example\.net .* refused +the server answered'
grep -q $'\x1b' "$work/out" && fail "a reason writes to the terminal"
postfathom queue --json --file - <"$work/listing" >"$work/out"
json_is '.schema == 1 and .messages == 6 and .stuck == 4 and .held == 1 and .unreadable == 1 and .daemon_trouble == null'
json_is '.groups[0] | .next_hop == "[127.0.0.1]:9" and .next_hop_from == "configured" and .messages == 2 and .recipients == 3
  and .oldest_queue_id == "AF4C3A8E0EE" and .probed and .verdict.id == "refused"'
if command -v socat >/dev/null; then
  json_is '.groups[] | select(.next_hop == "[127.0.0.2]:9") | .next_hop_from == "learned" and .probed and .reason == "connect"'
fi
json_is '.groups[] | select(.next_hop == "mail.example.net") | (.probed | not) and .verdict == null'

# On a terminal there are colours and a bar, unless they are not wanted.
if command -v script >/dev/null; then
  script -qec "'$program' -c '$work/postfathom.toml' queue --file '$work/listing'" /dev/null >"$work/out"
  grep -q $'\x1b\[1;31mrefused' "$work/out" || fail "no colour on a terminal: $(cat -v "$work/out")"
  NO_COLOR=1 script -qec "'$program' -c '$work/postfathom.toml' queue --file '$work/listing' 2>/dev/null" /dev/null >"$work/out"
  grep -q $'\x1b' "$work/out" && fail "colour in spite of NO_COLOR: $(cat -v "$work/out")"
fi

expect 66 queue --file "$work/nowhere"
err_has 'nowhere: No such file'
expect 65 queue --file "$0"
err_has 'none of .* lines is a message'
expect 0 queue --file /dev/null
out_has '^0 messages stuck, of 0'
expect 64 queue --timeout soon
head -c 3000000 /dev/urandom >"$work/noise"
expect 65 queue --file "$work/noise"
PATH=/nonexistent expect 66 queue
err_has 'there is no postqueue here'
echo "the queue: told"
