#!/usr/bin/env bash
# tlsrpt.sh POSTFATHOM-PROBED: the datagrams that Postfix 3.10 and later sends through libtlsrpt, to the real daemon and
# by way of it to a collector.
set -euo pipefail
program=$1

for tool in curl jq socat; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

work=$(mktemp -d)
pid=
collector=
stop() {  # stop PID
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
cleanup() {
  for child in $pid $collector; do stop "$child"; done
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "FAILED: $1"
  cat "$work/log" 2>/dev/null || true
  ask /v1/status 2>/dev/null | jq -c .tlsrpt || true
  exit 1
}
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
# eventually WHAT COMMAND...: the command succeeds within half a minute.
eventually() { poll 30 "${@:2}" || fail "$1"; }

socket=$work/tlsrpt.sock
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$work/mail.log"
[tlsrpt]
socket = "$socket"
forward_to = "$work/collector.sock"
[admin]
socket = "$work/admin.sock"
[probe]
min_interval = "1s"
[[route]]
domain = "example.net"
next_hop = "[localhost]:9"
TOML
mkdir "$work/cache"
: >"$work/mail.log"
ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "http://localhost$1" 2>/dev/null; }
serves() { kill -0 "$pid" 2>/dev/null || fail "the daemon ended"; ask /healthz >/dev/null; }
start() {
  "$program" -c "$work/postfathom.toml" >>"$work/log" 2>&1 &
  pid=$!
  eventually "the daemon does not answer" serves
}
status() { ask /v1/status | jq "$1"; }
is() { [ "$(status "$1")" = "$2" ]; }
more_than() { [ "$(status "$1")" -gt "$2" ]; }
logged() { grep -q -- "$1" "$work/log"; }
# Bytes of standard input as one datagram; by way of a file, since a pipe gives pieces.
send() { cat >"$work/datagram"; socat -u -b 262144 "OPEN:$work/datagram" "UNIX-SENDTO:$socket"; }
collect() {  # collect PATH FILE: what comes in on PATH goes into FILE
  socat -u -b 262144 "UNIX-RECV:$1" "CREATE:$2" &
  collector=$!
  eventually "no collector at $1" test -S "$1"
}
holds() { cmp -s "$work/$1" "$work/$2"; }

success='{"dpv": "1","d": "example.net","pr": "v=TLSRPTv1;rua=mailto:tlsrpt@example.net","policies":[{"policy-type":9,"t":0,"f":0}]}'
failure() {  # failure NEXT-HOP-HOST NAME ADDRESS
  printf '{"dpv": "1","d": "%s","pr": "v=TLSRPTv1;rua=mailto:tlsrpt@example.net","policies":[{"policy-type":9,"failure-details":[{"c":205,"s": "198.51.100.7","n": "%s","h": "mail.example.net\\r\\nSTARTTLS","r": "%s","f": "tls-handshake-failure"}],"t":1,"f":1}]}' "$1" "$2" "$3"
}

# Somebody else's socket stays his, and the daemon goes on without.
collect "$socket" "$work/other"
start
eventually "no word of the socket that is in use" logged "tlsrpt.socket: .*in use by"
printf one | send
printf one >"$work/expected"
eventually "the other reporter lost its socket" holds other expected
is .tlsrpt.received 0 || fail "a datagram for somebody else arrived"
stop "$pid"
pid=
stop "$collector"
collector=
[ -S "$socket" ] || fail "there is no stale socket to begin with"

# A stale one is replaced. Nobody collects yet: that is said, once.
start
[ "$(stat -c %a "$socket")" = 660 ] || fail "mode $(stat -c %a "$socket")"
printf %s "$success" | send
eventually "a success is not counted" is .tlsrpt.successes 1
eventually "no word of the collector that is missing" logged "collector.sock: the TLSRPT collector does not take"
is .tlsrpt.not_forwarded 1 || fail "what was lost is not counted"

# Each datagram reaches the collector as it came, readable for us or not.
collect "$work/collector.sock" "$work/collected"
failure mail.example.org mail.example.org 192.0.2.1 | send
printf 'no JSON \xff\x00 at all' | send
head -c 100000 /dev/zero | send
printf %s "$success" | send
eventually "not all arrive: $(status .tlsrpt)" is .tlsrpt.received 5
is .tlsrpt.unreadable 2 || fail "unreadable"
is .tlsrpt.not_placed 1 || fail "a relay that no mail went to has a place"
{ failure mail.example.org mail.example.org 192.0.2.1; printf 'no JSON \xff\x00 at all'; head -c 100000 /dev/zero; printf %s "$success"; } >"$work/expected"
eventually "the collector has something else" holds collected expected
[ "$(grep -c "is no report of libtlsrpt" "$work/log")" = 1 ] || fail "bad datagrams are not said once"
is .schedule.started 0 || fail "something was probed"

# A failure at a place that mail was seen to go to brings a probe of it, with its port, though no report tells that.
echo "Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@example.net>, relay=localhost[127.0.0.1]:9, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 Ok)" >>"$work/mail.log"
eventually "the delivery is not seen" is .mail_log.deliveries 1
failure localhost localhost 127.0.0.1 | send
eventually "no probe" more_than .schedule.finished 0
ask "/v1/destinations/%5Blocalhost%5D%3A9" | jq -e '.next_hop == "[localhost]:9" and .endpoints[0] == "localhost[127.0.0.1]:9"' >/dev/null ||
  fail "verdict: $(ask "/v1/destinations/%5Blocalhost%5D%3A9")"

# A collector that hangs costs its datagrams and nothing else.
kill -STOP "$collector"
received=$(status .tlsrpt.received)
for _ in $(seq 40); do printf %s "$success" | send; done
eventually "a collector that hangs stops us" is .tlsrpt.received $((received + 40))
more_than .tlsrpt.not_forwarded 1 || fail "the hanging collector took everything"
kill -CONT "$collector"

kill "$pid"
ended=0
wait "$pid" || ended=$?
pid=
[ "$ended" = 0 ] || fail "SIGTERM ended it with $ended"
echo "tlsrpt: heard"
