#!/usr/bin/env bash
# A real Postfix whose handshakes are tlsproxy(8)'s (smtp_tls_connection_reuse) delivers to servers that fail in the
# handshake: with table ehlo the server behind "Cannot start TLS" is known, without it the text stays as it is. A certificate
# that is not verified is known with and without.
set -euo pipefail
policyd=$1 trouble_server=$2 fill_cache=$3
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"

namespace_up
cat >"/etc/netns/$name/hosts" <<'HOSTS'
127.0.0.1 localhost
192.0.2.1 hang.example.org
192.0.2.2 reset.example.org
192.0.2.3 well.example.org
192.0.2.1 two.example.net
192.0.2.3 two.example.net
192.0.2.2 bare.example.org
192.0.2.4 certificate.example.org
HOSTS
for i in 1 2 3 4; do run ip addr add "192.0.2.$i/32" dev lo; done
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other.example.org \
  -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
{
  main_cf
  cat <<CONF
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
smtp_tls_policy_maps = inline:{certificate.example.org=verify}
smtpd_tls_security_level = may
smtpd_tls_cert_file = $work/certificate.pem
smtpd_tls_key_file = $work/key.pem
smtp_discard_ehlo_keyword_address_maps = socketmap:unix:run/tables.sock:ehlo
smtp_starttls_timeout = 2s
minimal_backoff_time = 300s
transport_maps = inline:{ bare.example.org=bare: }
CONF
} >"$conf/main.cf"
{
  grep -v '^tlsproxy' "$tools/master.cf"
  echo 'tlsproxy unix - - n - 0 tlsproxy'
  echo '192.0.2.4:25 inet n - n - - smtpd'
  echo '  -o myhostname=certificate.example.org'
  echo 'bare unix - - n - - smtp'
  echo '  -o smtp_discard_ehlo_keyword_address_maps='
} >"$conf/master.cf"
postconf -c "$conf" -F pickup/unix/wakeup=1 qmgr/unix/wakeup=1 smtp/unix/process_limit=1
{
  policyd_toml
  # A busy machine's log may trail.
  echo 'log_wait = "1s"'
  echo '[tables]'
  echo "socket = \"$queue/run/tables.sock\""
} >"$work/postfathom.toml"
"$fill_cache" "$work/cache" \
  'hang.example.org[192.0.2.1]:25=pmtu-black-hole' \
  'reset.example.org[192.0.2.2]:25=reset-in-handshake' \
  'well.example.org[192.0.2.3]:25=healthy' \
  'certificate.example.org[192.0.2.4]:25=certificate-untrusted'

start_trouble 192.0.2.1:25=hang-in-handshake 192.0.2.2:25=reset-in-handshake 192.0.2.3:25=close-in-handshake
start_postfix
start_policyd

send() { printf 'Subject: test\n\ntext\n' | run sendmail -C "$conf" -f me@example.net "$@"; }
reason() { run postqueue -c "$conf" -j | jq -r --arg to "$1" '.recipients[] | select(.address == $to) | .delay_reason // empty'; }
deferred() { [ -n "$(reason "$1")" ]; }
# expect RECIPIENT TEXT: waits for the deferral.
expect() {
  until_true 60 "a deferral for $1" deferred "$1"
  [ "$(reason "$1")" = "$2" ] || { echo "FAILED: $1: found \"$(reason "$1")\", expected \"$2\""; exit 1; }
  echo "ok: $1: $2"
}
failure='Cannot start TLS: handshake failure'
black_hole=' (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)'

# The first answer that comes back in the log shows that the log is read.
send first@well.example.org
expect first@well.example.org "$failure"
# Without table ehlo nothing is certain. A process of its own, so it has to be done before the others begin.
for i in 1 2; do
  send "u$i@bare.example.org"
  expect "u$i@bare.example.org" "$failure"
done
for i in 1 2 3; do
  send "u$i@reset.example.org"
  send "a$i@hang.example.org" "b$i@hang.example.org" "c$i@hang.example.org"
  send "u$i@well.example.org"
  send "u$i@certificate.example.org"
done
send u@two.example.net
for i in 1 2 3; do
  expect "u$i@reset.example.org" "$failure (path: reset-in-handshake)"
  for user in a b c; do expect "$user$i@hang.example.org" "$failure$black_hole"; done
  expect "u$i@well.example.org" "$failure"
  expect "u$i@certificate.example.org" 'Server certificate not verified (path: certificate-untrusted)'
done
# Its first server is ill, the one that failed last is not known as ill.
expect u@two.example.net "$failure"
grep -q 'tlsproxy.*TLS handshake failed' "$log" || { echo 'FAILED: the handshakes were not those of tlsproxy(8)'; exit 1; }
! grep -q 'SSL_connect error' "$log" || { echo 'FAILED: smtp(8) shook hands itself'; exit 1; }
echo "passed"
