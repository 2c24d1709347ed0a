#!/usr/bin/env bash
# budget.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: what a server has to bear from the daemon, counted at
# the server, behind a black hole; what is known after one round and after several; and servers that ask for
# patience.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/daemon_lab.sh"

make_links
make_certificates
serve 25 normal chain
serve 2526 busy chain
serve 2503 slow-greeting chain 8

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
shown=$(postfathom show "[198.51.100.2]") || fail "show ended with $?"  # whole: grep -q would end it early
grep -q "at least .*, below " <<<"$shown" || fail "show has no bounds: $shown"

# Whatever else the log says: nothing more before the window is over.
for _ in 1 2 3; do deferred; done
eventually "the log is not read" is 'ask http://localhost/v1/status | jq .mail_log.deliveries' 4
[ "$(seen connection)" -le 8 ] || fail "the budget of connections did not hold"
[ "$(seen 'handshake not')" -le 4 ] || fail "the budget of unfinished handshakes did not hold"

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

echo "== a slow greeting is waited for, and noted, while other servers are probed; its own server is left to it"
port=25
set_path 1500
start
slow="[IPv6:2001:db8:2::2]:2503"
ask -d "{\"destination\": \"$slow\"}" http://localhost/v1/probe >/dev/null
slow_server() { grep -c ^connection "$work/2503.2001:db8:2::2.log" || true; }
eventually "the slow server is not probed" is slow_server 1
ask -d '{"destination": "[IPv6:2001:db8:2::2]"}' http://localhost/v1/probe >/dev/null
known() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D"; }
answer=$(ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe)
[ "$(jq -r .verdict.id <<<"$answer")" = healthy ] || fail "another server has to wait"
[ "$(ask http://localhost/v1/status | jq .schedule.running)" -ge 1 ] || fail "the slow server was not waited for"
[ "$(grep -c ^connection "$work/25.2001:db8:2::2.log" || true)" = 0 ] || fail "a second probe at a server under probe"
known() { ask "http://localhost/v1/destinations/%5BIPv6%3A2001%3Adb8%3A2%3A%3A2%5D%3A2503"; }
eventually "the slow server has no verdict" is 'verdict id' healthy
known | jq -e '.report.endpoints[0].notes[] | select(.id == "slow-server")' >/dev/null || fail "the slow greeting is not noted"
known() { ask "http://localhost/v1/destinations/%5BIPv6%3A2001%3Adb8%3A2%3A%3A2%5D"; }
eventually "the second probe at the slow server is lost" is 'verdict id' healthy

echo "== all that was ever said to a server"
said=$(grep -h ^said "$work"/*.log | sort -u | tr '\n' ';')
[ "$said" = "said EHLO client.example.org;said QUIT;said STARTTLS;" ] || fail "$said"

stop
echo "all well"
