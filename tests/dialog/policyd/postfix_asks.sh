#!/usr/bin/env bash
# A real Postfix in a network namespace of its own delivers to servers that fail, and asks
# postfathom-policyd for the deferrals' texts. With RECORD=FILE the mail log is kept there.
set -euo pipefail
policyd=$1 trouble_server=$2 fill_cache=$3
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"

troubles=(hang-in-handshake reset-in-handshake close-in-handshake garbage-in-handshake hang-in-greeting
  close-in-greeting busy hang-in-ehlo hang-in-starttls refuse-starttls no-starttls)
namespace_up
arguments=()
{
  echo '127.0.0.1 localhost'
  for i in "${!troubles[@]}"; do echo "192.0.2.$((i + 1)) ${troubles[i]}.example.org"; done
  # Two servers of one next hop, tried in turn; a refused port; a server with a certificate of
  # another name.
  echo '192.0.2.2 two.example.net'
  echo '192.0.2.3 two.example.net'
  echo '192.0.2.50 refused.example.org'
  echo '192.0.2.60 certificate.example.org'
} >"/etc/netns/$name/hosts"
for i in "${!troubles[@]}"; do
  run ip addr add "192.0.2.$((i + 1))/32" dev lo
  arguments+=("192.0.2.$((i + 1)):25=${troubles[i]}")
done
run ip addr add 192.0.2.50/32 dev lo
run ip addr add 192.0.2.60/32 dev lo

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other.example.org \
  -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
{
  main_cf
  cat <<CONF
smtp_tls_security_level = encrypt
smtp_tls_policy_maps = inline:{certificate.example.org=verify}
smtpd_tls_security_level = may
smtpd_tls_cert_file = $work/certificate.pem
smtpd_tls_key_file = $work/key.pem
smtp_connect_timeout = 3s
smtp_helo_timeout = 2s
smtp_starttls_timeout = 2s
minimal_backoff_time = 300s
CONF
} >"$conf/main.cf"
{
  echo '192.0.2.60:25 inet n - n - - smtpd'
  echo '  -o myhostname=certificate.example.org'
  cat "$tools/master.cf"
} >"$conf/master.cf"
# The queue is looked at every second, and one process makes all deliveries.
postconf -c "$conf" -F pickup/unix/wakeup=1 qmgr/unix/wakeup=1 smtp/unix/process_limit=1
policyd_toml >"$work/postfathom.toml"

"$fill_cache" "$work/cache" \
  'hang-in-handshake.example.org[192.0.2.1]:25=pmtu-black-hole' \
  'reset-in-handshake.example.org[192.0.2.2]:25=reset-in-handshake' \
  'close-in-handshake.example.org[192.0.2.3]:25=peer-stall' \
  'certificate.example.org[192.0.2.60]:25=certificate-untrusted' \
  'hang-in-starttls.example.org[192.0.2.9]:25=pmtu-black-hole' \
  'hang-in-ehlo.example.org[192.0.2.8]:25=healthy'

start_trouble "${arguments[@]}"
start_postfix
start_policyd

send() { printf 'Subject: test\n\ntext\n' | run sendmail -C "$conf" -f me@example.net "$@"; }
reason() { run postqueue -c "$conf" -j | jq -r --arg to "$1" '.recipients[] | select(.address == $to) | .delay_reason // empty'; }
# Waits for a recipient's deferral and compares its text.
expect() {
  local recipient=$1 seconds=$2 want=$3 found
  until_true "$seconds" "a deferral for $recipient" deferred "$recipient"
  found=$(reason "$recipient")
  if [ "$found" = "$want" ]; then
    echo "ok: $recipient: $found"
  else
    echo "FAILED: $recipient: found \"$found\", expected \"$want\""
    exit 1
  fi
}
deferred() { [ -n "$(reason "$1")" ]; }
clear_queue() { run postsuper -c "$conf" -d ALL >/dev/null 2>&1; }

failure='Cannot start TLS: handshake failure'
black_hole=' (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)'

echo "# the server is known from the log, one smtp(8) process for all deliveries"
send a@hang-in-handshake.example.org b@hang-in-handshake.example.org c@hang-in-handshake.example.org
for user in a b c; do expect "$user@hang-in-handshake.example.org" 30 "$failure$black_hole"; done
for i in 1 2 3; do
  send "u$i@reset-in-handshake.example.org"
  send "u$i@garbage-in-handshake.example.org"
  send "u$i@close-in-handshake.example.org"
done
for i in 1 2 3; do
  expect "u$i@reset-in-handshake.example.org" 30 "$failure (path: reset-in-handshake)"
  expect "u$i@garbage-in-handshake.example.org" 30 "$failure"
  expect "u$i@close-in-handshake.example.org" 30 "$failure (path: peer-stall)"
done
send u@two.example.net
expect u@two.example.net 30 "$failure (path: peer-stall)"
send u@certificate.example.org
expect u@certificate.example.org 30 'Server certificate not verified (path: certificate-untrusted)'

echo "# the server is in the text"
for trouble in hang-in-greeting close-in-greeting busy hang-in-ehlo hang-in-starttls refuse-starttls no-starttls \
  refused; do send "u@$trouble.example.org"; done
expect u@hang-in-starttls.example.org 60 "conversation with hang-in-starttls.example.org[192.0.2.9] timed out while receiving the STARTTLS response$black_hole"
expect u@hang-in-ehlo.example.org 60 'conversation with hang-in-ehlo.example.org[192.0.2.8] timed out while performing the EHLO handshake'
expect u@refused.example.org 60 'connect to refused.example.org[192.0.2.50]:25: Connection refused'
expect u@busy.example.org 60 'host busy.example.org[192.0.2.7] refused to talk to me: 421 4.3.2 too busy'

echo "# policyd is not there"
stop_policyd
clear_queue
send a@hang-in-handshake.example.org
expect a@hang-in-handshake.example.org 30 "$failure"

echo "# policyd does not answer: smtp(8) gives up after its fixed 100 s"
clear_queue
start_policyd
kill -STOP "$policyd_pid"
send a@hang-in-handshake.example.org
expect a@hang-in-handshake.example.org 130 "$failure"
echo "passed"
