#!/usr/bin/env bash
# postfix_observed.sh POLICYD PROBED: what a real Postfix's log tells reaches Postfix's policy answers. Clients whose TLS
# handshakes fail are named when they bring mail, and a relay's verdict is that of the domains whose mail was seen to go there.
set -euo pipefail
policyd=$1 probed=$2
trouble_server=  # none here
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"
for tool in curl socat smtp-sink; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
probed_pid= sink_pid=
finish() {
  local status=$?
  set +e
  for child in $probed_pid $sink_pid; do
    kill "$child" 2>/dev/null
    wait "$child" 2>/dev/null
  done
  [ "$status" -eq 0 ] || { echo "--- probed"; cat "$work/probed.log"; } 2>/dev/null
  return "$status"
}
trap 'finish; cleanup' EXIT  # which looks at the status
fail() { echo "FAILED: $1"; exit 1; }

namespace_up
server=198.51.100.1 ill=192.0.2.5 well=203.0.113.5
for address in "$server" 198.51.100.25 "$ill" "$well"; do run ip addr add "$address/32" dev lo; done
printf '%s\n' '127.0.0.1 localhost' '198.51.100.25 relay.example.org' >"/etc/netns/$name/hosts"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 30 -subj /CN=mx.example.net \
  2>/dev/null
{
  main_cf | grep -v -e smtp_delivery_status_filter -e ^mynetworks -e ^smtp_host_lookup
  cat <<CONF
smtpd_tls_security_level = may
smtpd_tls_cert_file = $work/cert.pem
smtpd_tls_key_file = $work/key.pem
smtpd_tls_loglevel = 1
mynetworks = 192.0.2.0/24, 203.0.113.0/24
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
    check_policy_service { unix:run/policy.sock, timeout=10s, default_action=DUNNO }, permit
smtp_host_lookup = native
relayhost = [relay.example.org]:2525
CONF
} >"$conf/main.cf"
{
  echo "$server:25 inet n - n - - smtpd"
  cat "$tools/master.cf"
} >"$conf/master.cf"
cat >"$work/postfathom.toml" <<CONF
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$log"
[socket_watch]
enabled = false
[policy]
socket = "$queue/run/policy.sock"
mode = "warn"
[dsn]
socket = "$queue/run/dsn.sock"
[admin]
socket = "$work/admin.sock"
CONF
mkdir -p "$queue/run"
start_postfix
# Not by the function: a function in the background is a shell of its own, and only that would be ended.
ip netns exec "$name" "$probed" -c "$work/postfathom.toml" >"$work/probed.log" 2>&1 &
probed_pid=$!
ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "http://localhost$1" "${@:2}" 2>/dev/null; }
answers() { ask /healthz >/dev/null; }
until_true 30 "probed answers" answers
start_policyd
ip netns exec "$name" smtp-sink -u nobody 198.51.100.25:2525 10 >"$work/sink.log" 2>&1 &
sink_pid=$!

# Says the lines to Postfix from ADDRESS and prints the last line of each reply.
talk() {
  local address=$1 line
  shift
  coproc client { run socat - "TCP:$server:25,bind=$address" 2>/dev/null; }
  local in=${client[0]} out=${client[1]} pid=$client_PID
  reply() {
    while IFS= read -r -t 60 line <&"$in"; do
      line=${line%$'\r'}
      [[ $line == ???-* ]] || { printf '%s\n' "$line"; return; }
    done
  }
  reply
  for line; do
    printf '%b\r\n' "$line" >&"$out"
    reply
  done
  wait "$pid" 2>/dev/null || true
}
bring() {  # bring ADDRESS RECIPIENT
  talk "$1" 'EHLO client.example.org' 'MAIL FROM:<me@example.org>' "RCPT TO:<$2>" DATA 'Subject: test\r\n\r\ntext\r\n.' QUIT
}
taken() { [[ $(bring "$@") == *'250 2.0.0 Ok: queued'* ]]; }
handshake() {  # handshake ADDRESS OPTION...
  run timeout 60 openssl s_client -bind "$1:0" -connect "$server:25" -starttls smtp "${@:2}" \
    </dev/null >/dev/null 2>&1 || true
}
warned() { grep -c "warn: RCPT from unknown\[$1\]: .*$2" "$log" || true; }
clients() { ask /v1/clients | jq -e ".clients[] | select(.network == \"$1\") | $2" >/dev/null; }

# Four handshakes that cannot be: the server's key is an RSA key. Two of another network go well.
for _ in 1 2 3 4; do handshake "$ill" -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256; done
for _ in 1 2; do handshake "$well"; done
failed() { [ "$(grep -c "SSL_accept error from unknown\[$ill\]" "$log")" = 4 ]; }
until_true 60 "Postfix logs four failed handshakes" failed
known() { clients 192.0.2.0/24 '.failed_handshakes == 4'; }
until_true 60 "probed stores them" known

taken "$ill" you@example.com || fail "mail of that network is not taken"
taken "$well" you@example.com || fail "mail of the other network is not taken"
until_true 30 "Postfix's log names the network" \
  grep -q "warn: RCPT from unknown\[$ill\]: .*client network 192.0.2.0/24: 4 TLS handshakes failed since" "$log"
[ "$(warned "$well" '')" = 0 ] || fail "the other network is named too"
echo "ok: clients whose handshakes fail are named"

# A third message, and the log tells that mail for example.com goes to the relay. That has no STARTTLS.
bring "$well" you@example.com >/dev/null
delivered() { [ "$(grep -c 'to=<you@example.com>, relay=relay.example.org\[198.51.100.25\]:2525.*status=sent' "$log")" -ge 3 ]; }
until_true 60 "three messages are delivered" delivered
ask /v1/probe -d '{"destination": "[relay.example.org]:2525", "wait": true}' | jq -e '.verdict.id == "starttls-missing"' >/dev/null ||
  fail "the relay's verdict"
routed() { ask /v1/destinations/example.com | jq -e '.route.from_log and .next_hop == "[relay.example.org]:2525"' >/dev/null; }
until_true 60 "the route is learned" routed
taken "$well" you@example.com || fail "mail for the relay is not taken"
until_true 30 "Postfix's log tells of the relay" \
  grep -q "warn: RCPT from unknown\[$well\]: .*\[relay.example.org\]:2525: starttls-missing" "$log"
taken "$well" you@example.net || fail "mail for another domain is not taken"
[ "$(warned "$well" 'example.net')" = 0 ] || fail "a domain of which nothing is known is named"
echo "ok: the relay's verdict is that of the domains whose mail goes there"
