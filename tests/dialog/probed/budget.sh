#!/usr/bin/env bash
# budget.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: what a server has to bear from the daemon, counted at
# the server, behind a black hole; and what is known after one round, after several, and of a path that varies.
set -euo pipefail
program=$1
cli=$2
fake_mx=$3
topology=$4
for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
# shellcheck source-path=SCRIPTDIR/../probe source=topology.sh
. "$topology"

daemon=
stop() {
  [ -n "$daemon" ] || return 0
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  daemon=
}
trap 'stop; cleanup' EXIT

fail() {
  echo "FAILED: $1"
  echo "--- daemon"
  cat "$work/log" 2>/dev/null || true
  echo "--- verdict"
  known 2>/dev/null | jq 'del(.report)' || true
  known 2>/dev/null | jq -c '.report.endpoints[]? | .cost, (.attempts[] | [.allowed, .outcome, .stall])' || true
  exit 1
}

# start [LINE OF [probe]]...: a daemon without memory, in the client's namespace.
start() {
  stop
  rm -rf "$work/cache" "$work/log"
  mkdir "$work/cache"
  : >"$work/mail.log"
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
ca_file = "$work/root.pem"
ehlo_name = "client.example.org"
$(printf '%s\n' "$@")
TOML
  ip netns exec "$client" "$program" -c "$work/postfathom.toml" >"$work/log" 2>&1 &
  daemon=$!
  eventually "the daemon does not answer" ask http://localhost/healthz
}

ask() { curl -sS --max-time 120 --unix-socket "$work/admin.sock" "$@" 2>/dev/null; }
postfathom() { "$cli" -c "$work/postfathom.toml" "$@"; }
known() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D%3A$port"; }
verdict() { known | jq -r ".verdict.$1"; }

# eventually WHAT-IS-WRONG-OTHERWISE COMMAND...
eventually() {
  local -r complaint=$1 deadline=$((SECONDS + ${PATIENCE:-60}))
  shift
  until "$@" >/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$complaint"
    read -r -t 0.1 <> <(:) || true
  done
}
is() { [ "$(eval "$1")" = "$2" ]; }
finished() { [ "$(ask http://localhost/v1/status | jq .schedule.finished)" -ge "$1" ]; }

# A line of Postfix's log, which is what sets the daemon going.
deferred() {
  cat >>"$work/mail.log" <<LOG
Nov 23 01:11:21 mx postfix/smtp[3910]: SSL_connect error to 198.51.100.2[198.51.100.2]:$port: Connection timed out
Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@[198.51.100.2]>, relay=198.51.100.2[198.51.100.2]:$port, delay=300, delays=0.02/0.03/300/0, dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)
LOG
}
# What the server saw since forget_server: connections, and handshakes that were begun and not completed, which
# is what Postfix logs as "lost connection after STARTTLS" and fail2ban counts.
server_log() { cat "$work/$port.198.51.100.2.log"; }
forget_server() { seen_before=$(server_log | wc -l); }
seen() { server_log | tail -n "+$((seen_before + 1))" | grep -c "^$1" || true; }

make_links
make_certificates
serve 25 normal chain
serve 2526 busy chain

echo "== one round of a black hole costs what a server bears, and has the diagnosis"
set_path 1353  # no usual size: takes more than one round
port=25
start
forget_server
deferred
eventually "no probe in time" finished 1
[ "$(verdict id)" = pmtu-black-hole ] || fail "the first round has no diagnosis"
[ "$(verdict path_mtu_exact)" = false ] || fail "the first round cannot know the exact size"
[ "$(verdict path_mtu)" -le 1353 ] || fail "a size that does not pass"
[ "$(verdict path_mtu_below)" -gt 1353 ] || fail "a bound that passes"
[[ $(verdict summary) =~ ^"pmtu-black-hole inbound, path MTU at least "[0-9]+", below "[0-9]+", MSS "[0-9]+" works"$ ]] ||
  fail "the short form is: $(verdict summary)"
known | jq -e '.report.endpoints[0].cost | .budget_ended and .aborted == 4 and .connections <= 8' >/dev/null || fail "cost"
[ "$(seen connection)" -le 8 ] || fail "$(seen connection) connections in a round"
[ "$(seen 'handshake not')" -le 4 ] || fail "$(seen 'handshake not') unfinished handshakes in a round"
[ "$(ask http://localhost/v1/status | jq .schedule.queued)" = 1 ] || fail "no further round is planned"
postfathom show "[198.51.100.2]" | grep -q "at least .*, below " || fail "show has no bounds"

# Whatever else the log says: nothing more before the window is over.
for _ in 1 2 3; do deferred; done
eventually "the log is not read" is 'ask http://localhost/v1/status | jq .mail_log.deliveries' 4
[ "$(seen connection)" -le 8 ] && [ "$(seen 'handshake not')" -le 4 ] || fail "the budget did not hold"

echo "== a person who asks gets the exact size at once, and the daemon pays for it"
answer=$(ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe)
[ "$(jq -r .verdict.summary <<<"$answer")" = "pmtu-black-hole inbound, path MTU 1353, MSS 1313 works" ] ||
  fail "a person's answer is: $(jq -c .verdict <<<"$answer")"
jq -e '.report.endpoints[0].cost | .aborted >= 2 and .budget_ended == false' <<<"$answer" >/dev/null || fail "cost for a person"

echo "== over rounds the exact size is reached, each within the budget"
start 'budget_window = "6s"' 'min_interval = "1s"' 'apart = "0ms"'
forget_server
deferred
PATIENCE=100 eventually "no exact size after rounds" is 'verdict path_mtu_exact' true
[ "$(verdict path_mtu)" = 1353 ] || fail "exact, and wrong: $(verdict path_mtu)"
rounds=$(ask http://localhost/v1/status | jq .schedule.finished)
[ "$rounds" -ge 2 ] || fail "no rounds"
[ "$(seen connection)" -le $((8 * rounds)) ] || fail "$(seen connection) connections in $rounds rounds"
[ "$(seen 'handshake not')" -le $((4 * rounds)) ] || fail "$(seen 'handshake not') unfinished handshakes in $rounds rounds"
known | jq -e '.paths[] | select(.inbound == 1353 and .inbound_exact)' >/dev/null || fail "the path is not remembered"
echo "   $rounds rounds, $(seen connection) connections, $(seen 'handshake not') unfinished handshakes"

echo "== what is known is looked for first: two connections more than the first confirm it"
forget_server
ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe >/dev/null
[ "$(verdict path_mtu)" = 1353 ] || fail "the hint led astray"
[ "$(seen connection)" -le 4 ] || fail "$(seen connection) connections with the size known"

echo "== a wrong hint does no harm"
set_path 1400
ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe >/dev/null
[ "$(verdict path_mtu),$(verdict path_mtu_exact)" = 1400,true ] || fail "an old size stands in the way of the new one"

echo "== a server that says 421 is left alone"
port=2526
start 'min_interval = "1s"' 'back_off = "1h"'
forget_server
known() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D%3A2526"; }
ask -d '{"destination": "[198.51.100.2]:2526", "wait": true}' http://localhost/v1/probe >/dev/null
[ "$(verdict id)" = greeting-rejected ] || fail "421 is no verdict"
known | jq -e '.report.endpoints[0].cost.asked_to_wait | startswith("421")' >/dev/null || fail "what it said is lost"
[ "$(seen connection)" = 1 ] || fail "asked again after 421"
# Nor is another service at the same address asked.
port=25
forget_server
deferred
eventually "no word of the pause" grep -q "asked us to come again later; no probe of it before" "$work/log"
[ "$(seen connection)" = 0 ] || fail "the pause after 421 did not hold"

stop
echo "all well"
