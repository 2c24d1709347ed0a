#!/usr/bin/env bash
# sockets.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY MAIL_TRANSFER: what the daemon, as a user without
# privileges, makes of live transfers: into a black hole, seen from both ends of it, and of healthy, lossy and slow
# ones.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/daemon_lab.sh"
transfer=$5
command -v setpriv >/dev/null || { echo "skipped: setpriv is not installed"; exit 77; }

make_links
ip -n "$client" link set wan mtu 1500
port=25
listen() {
  ip netns exec "$server" "$transfer" serve "$@" >"$work/serve.$1.$2" 2>&1 &
  servers+=($!)
  eventually "no server at $1" grep -qs ready "$work/serve.$1.$2"
}
listen 198.51.100.2 25
listen 2001:db8:2::2 25
listen 198.51.100.2 587 stop

# body ADDRESS PORT BYTES: begins a transfer. $! of it is in `servers`.
body() {
  ip netns exec "$client" "$transfer" send "$@" >"$work/body.$1.$2" 2>&1 &
  servers+=($!)
  last=$!
}
# watch_in NAMESPACE NAME: a second daemon, which sees the other end.
watch_in() {
  mkdir -p "$work/$2.cache"
  sed "s|$work/cache|$work/$2.cache|; s|notice.sock|$2.notice|; s|admin.sock|$2.admin|" "$work/postfathom.toml" >"$work/$2.toml"
  chown -R nobody "$work/$2.cache"
  ip netns exec "$1" setpriv --reuid nobody --clear-groups --no-new-privs "$program" -c "$work/$2.toml" >"$work/$2.log" 2>&1 &
  servers+=($!)
  eventually "the daemon of $2 does not answer" curl -sS --unix-socket "$work/$2.admin" http://localhost/healthz
}
suspicions() { ask http://localhost/v1/sockets | jq -c ".suspicions[] | select($1)"; }
suspected() { [ -n "$(suspicions "$1")" ]; }
at_the_server() { curl -sS --unix-socket "$work/server.admin" http://localhost/v1/sockets | jq -e ".suspicions[] | select($1)"; }
samples() { ask http://localhost/v1/status | jq .sockets.samples; }
looked_at() { [ "$(samples)" -ge "$1" ]; }

chmod 777 "$work"
start '[socket_watch]' 'interval = "1s"'
watch_in "$server" server

echo "== healthy, lossy and slow transfers are nothing"
set_path 1500
body 198.51.100.2 587 30000000  # nobody reads it
body 198.51.100.2 25 3000000
wait "$last" || fail "a healthy transfer does not end"
in_router nft -f - <<'RULES'
table inet loss {
  chain forward {
    type filter hook forward priority 0;
    numgen random mod 100 < 5 drop
  }
}
RULES
for _ in 1 2 3; do body 198.51.100.2 25 20000000; done
wait "$last" || fail "a lossy transfer does not end"
eventually "no samples" looked_at $(($(samples) + 8))
in_router nft flush ruleset
[ "$(ask http://localhost/v1/sockets | jq '.suspicions | length')" = 0 ] || fail "suspected: $(ask http://localhost/v1/sockets)"
ask http://localhost/v1/status | jq -e '.sockets.connections >= 1' >/dev/null || fail "the slow transfer is not seen"
! at_the_server true || fail "suspected at the server"

echo "== a body that does not arrive is likely, and starts a probe where mail is known to go"
set_path 1500 1400
[ "$(ask http://localhost/v1/status | jq .schedule.started)" = 0 ] || fail "a probe, and no reason for one"
cat >>"$work/mail.log" <<'LOG'
Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@[198.51.100.2]>, relay=198.51.100.2[198.51.100.2]:25, delay=0.1, delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok)
LOG
eventually "the log is not read" is 'ask http://localhost/v1/status | jq .mail_log.deliveries' 1
here='.peer == "198.51.100.2" and .direction == "outbound" and .side == "to-server"'
body 198.51.100.2 25 2000
eventually "no suspicion" suspected "$here and .certainty == \"likely\" and .fails == 1500 and .connections == 1"
eventually "no probe" is 'ask http://localhost/v1/status | jq .schedule.started' 1
# Nobody has sent mail there, as far as is known.
body 2001:db8:2::2 25 2000
eventually "no suspicion with IPv6" suspected '.peer == "2001:db8:2::2" and .fails == 1500'

echo "== a second one convicts"
body 198.51.100.2 25 2000
eventually "no conviction" suspected "$here and .certainty == \"convicted\" and .fails == 1500 and .chance <= 0.0001"
grep -q "198.51.100.2.*black hole outbound: packets of 1500 bytes lost" "$work/log" || fail "no line in the log"
[ "$(ask http://localhost/v1/status | jq .sockets.probes_wanted)" -le 3 ] || fail "one suspicion asks again and again"
grep -q '2001:db8:2::2' <<<"$(ask http://localhost/v1/destinations)" && fail "a place was probed that mail does not go to"

echo "== at the other end it is a suspicion, told once for the network"
eventually "nothing seen at the server" at_the_server '.direction == "inbound" and .side == "from-client" and .fails == null and .fails_at_most == 1500'
! at_the_server '.certainty == "convicted"' || fail "a conviction from gaps alone"
[ "$(grep -c '192.0.2.0/24: connections to our port 25: possible' "$work/server.log")" = 1 ] || fail "lines of the server: $(cat "$work/server.log")"
curl -sS --unix-socket "$work/server.admin" http://localhost/v1/status | jq -e '.schedule.started == 0' >/dev/null ||
  fail "who mails us has aimed a probe"

echo "== what arrives in the end ends it"
set_path 1500
eventually "the suspicion outlives the hole" is 'suspicions ".peer == \"198.51.100.2\"" | wc -l' 0
stop
echo "all well"
