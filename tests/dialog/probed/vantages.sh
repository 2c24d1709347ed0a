#!/usr/bin/env bash
# vantages.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: a host with two providers, one of which is a black hole
# above 1400 bytes. Each source address has its own answer, and a daemon that saw both says that the path varies.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/daemon_lab.sh"

make_links
make_certificates
# The second provider: 203.0.113.2 ---- router.
ip -n "$client" link add wan2 type veth peer name toclient2 netns "$router"
ip -n "$client" link set wan2 mtu 8921 up
ip -n "$router" link set toclient2 mtu 8921 up
ip -n "$client" addr add 203.0.113.2/24 dev wan2
ip -n "$router" addr add 203.0.113.1/24 dev toclient2
ip -n "$client" rule add from 203.0.113.2 table 2
ip -n "$client" route add default via 203.0.113.1 dev wan2 table 2
for name in all default wan wan2; do in_client sysctl -q -w "net.ipv4.conf.$name.rp_filter=0"; done
for name in all default toclient toclient2; do in_router sysctl -q -w "net.ipv4.conf.$name.rp_filter=0"; done
serve 25 normal chain
set_path 1400
port=25
known() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D"; }

echo "== a person asks from each address"
start
probe_from() { in_client "$cli" -c "$work/postfathom.toml" probe "[198.51.100.2]" --source "$1" --json || true; }
probe_from 192.0.2.2 >"$work/first.json"
jq -e '.diagnosis.id == "pmtu-black-hole" and .endpoints[0].path_mtu.inbound == 1400 and .endpoints[0].path_mtu.inbound_exact
  and .endpoints[0].vantage.source == "192.0.2.2"' "$work/first.json" >/dev/null || fail "from 192.0.2.2: $(jq -c .diagnosis "$work/first.json")"
probe_from 203.0.113.2 >"$work/second.json"
jq -e '.diagnosis.id == "healthy" and .endpoints[0].path_mtu.inbound == 1500
  and .endpoints[0].vantage.source == "203.0.113.2"' "$work/second.json" >/dev/null || fail "from 203.0.113.2: $(jq -c .diagnosis "$work/second.json")"

# Postfix's settings, for suggestions that copy its transport. postconf(1) waits for a file that is new.
mkdir "$work/postfix"
export MAIL_CONFIG=$work/postfix
printf 'compatibility_level = 3.6\n' >"$work/postfix/main.cf"
printf 'smtp unix - - n - - smtp\n' >"$work/postfix/master.cf"
touch -d '1 hour ago' "$work/postfix/main.cf"
stop
start

echo "== the daemon, while the default route changes"
person_asks() { ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe; }
answer=$(person_asks)
[ "$(jq -r .verdict.summary <<<"$answer")" = "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works" ] || fail "first provider: $(jq -c .verdict <<<"$answer")"
ip -n "$client" route replace default via 203.0.113.1 dev wan2
answer=$(person_asks)
[ "$(jq -r .verdict.id <<<"$answer")" = healthy ] || fail "second provider: $(jq -c .verdict <<<"$answer")"
jq -e '.verdict.varies == {"from": 1400, "to": 1500}' <<<"$answer" >/dev/null || fail "no word of the variation: $(jq -c .verdict <<<"$answer")"
jq -e '[.paths[] | {source, inbound, inbound_exact}] | sort_by(.source) ==
  [{"source": "192.0.2.2", "inbound": 1400, "inbound_exact": true}, {"source": "203.0.113.2", "inbound": 1500, "inbound_exact": false}]' \
  <<<"$answer" >/dev/null || fail "the paths are: $(jq -c .paths <<<"$answer")"
echo "== from the first one again: the other one is a way out"
ip -n "$client" route replace default via 192.0.2.1 dev wan
answer=$(person_asks)
[ "$(jq -r .verdict.id <<<"$answer")" = pmtu-black-hole ] || fail "first provider again: $(jq -c .verdict <<<"$answer")"
jq -e '.report.suggestions[] | select(.kind == "bind-address") | .proof == "measured from 203.0.113.2: 1500 bytes from the server and 1500 bytes to it"
  and (.commands | any(endswith("/smtp_bind_address=203.0.113.2'"'"'")))' <<<"$answer" >/dev/null ||
  fail "no way out: $(jq -c '[.report.suggestions[] | {kind, proof, commands}]' <<<"$answer")"
grep -q "varies between 1400 and 1500" "$work/log" || fail "the log says nothing of it"
postfathom show "[198.51.100.2]" >"$work/shown"
grep -q "path from 192.0.2.2 to 198.51.100.2: inbound 1400 exactly" "$work/shown" || fail "show: $(cat "$work/shown")"
grep -q "path from 203.0.113.2 to 198.51.100.2: inbound 1500 or more" "$work/shown" || fail "show: $(cat "$work/shown")"
grep -q "varies between 1400 and 1500" "$work/shown" || fail "show: $(cat "$work/shown")"

stop
echo "all well"
