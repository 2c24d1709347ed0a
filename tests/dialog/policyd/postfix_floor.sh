#!/usr/bin/env bash
# A real Postfix at level "may" delivers to servers whose TLS handshake hangs: once without table
# tls, where it falls to clear text at the second attempt, and once with it, where it never does.
# Table ehlo likewise, and what failing closed means. postfathom-probed tells of the clear text.
set -euo pipefail
policyd=$1 trouble_server=$2 fill_cache=$3 probed=$4
command -v curl >/dev/null || { echo "skipped: curl is not installed"; exit 77; }
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"

probed_pid= watch_pid=
finish() {
  local status=$?
  set +e
  for child in $watch_pid $probed_pid; do
    kill "$child" 2>/dev/null
    wait "$child" 2>/dev/null
  done
  [ "$status" -eq 0 ] || { echo "--- probed"; cat "$work/probed.log" "$work/events"; } 2>/dev/null
  return "$status"
}
trap 'finish; cleanup' EXIT  # which looks at the status

namespace_up
for i in 1 2 3; do run ip addr add "192.0.2.$i/32" dev lo; done
cat >"/etc/netns/$name/hosts" <<'HOSTS'
127.0.0.1 localhost
192.0.2.1 open.example.org
192.0.2.2 held.example.org
192.0.2.3 groups.example.org
HOSTS
{
  main_cf | grep -v smtp_delivery_status_filter
  cat <<CONF
smtp_tls_security_level = may
smtp_starttls_timeout = 2s
minimal_backoff_time = 3s
maximal_backoff_time = 600s
queue_run_delay = 600s
transport_maps = inline:{ { held.example.org = held: }, { groups.example.org = held: } }
CONF
} >"$conf/main.cf"
{
  cat "$tools/master.cf"
  echo 'held unix - - n - - smtp'
  echo '  -o smtp_tls_policy_maps=socketmap:unix:run/tables.sock:tls'
  echo '  -o smtp_discard_ehlo_keyword_address_maps=socketmap:unix:run/tables.sock:ehlo'
} >"$conf/master.cf"
postconf -c "$conf" -F pickup/unix/wakeup=1
{
  policyd_toml
  cat <<CONF
[tls]
floor = "may"
[tables]
socket = "$queue/run/tables.sock"
tls_next_hops = ["*"]
ehlo_addresses = ["*"]
CONF
} >"$work/postfathom.toml"
# Both are known as ill; only the one is asked of the table.
"$fill_cache" "$work/cache" 'open.example.org=pmtu-black-hole,open.example.org[192.0.2.1]:25' \
  'held.example.org=pmtu-black-hole,held.example.org[192.0.2.2]:25' \
  'groups.example.org[192.0.2.3]:25=size-specific-loss'

start_trouble 192.0.2.1:25=hang-in-handshake 192.0.2.2:25=hang-in-handshake 192.0.2.3:25=no-starttls
start_postfix
start_policyd
until_true 10 "the tables are there" test -S "$queue/run/tables.sock"
# With a cache of its own: what it finds of these servers is another matter.
mkdir "$work/cache-probed"
cat >"$work/probed.toml" <<CONF
[cache]
directory = "$work/cache-probed"
[notice]
socket = "$work/notice-probed.sock"
[mail_log]
file = "$log"
[admin]
socket = "$work/admin.sock"
CONF
ip netns exec "$name" "$probed" -c "$work/probed.toml" >"$work/probed.log" 2>&1 &
probed_pid=$!
ask() { curl -sS --max-time 120 --unix-socket "$work/admin.sock" "http://localhost$1" 2>/dev/null; }
until_true 20 'probed answers' ask /healthz >/dev/null
(exec curl -sSN --unix-socket "$work/admin.sock" http://localhost/v1/events) >"$work/events" 2>/dev/null &
watch_pid=$!
watching() { [ "$(ask /v1/status | jq .event_readers)" = 1 ]; }
until_true 20 'the events are watched' watching

send() { printf 'Subject: test\n\ntext\n' | run sendmail -C "$conf" -f me@example.net "$@"; }
count() { grep -c "$1" "$log" || true; }
at_least() { [ "$(count "$2")" -ge "$1" ]; }
lookup() { run postmap -c "$conf" -q "$2" "socketmap:unix:$queue/run/tables.sock:$1" || true; }
equal() { [ "$1" = "$2" ] || { echo "FAILED: $3: found \"$1\", expected \"$2\""; exit 1; }; echo "ok: $3"; }

equal "$(lookup tls held.example.org)" encrypt 'an ill next hop whose TLS worked'
equal "$(lookup tls .example.org)$(lookup tls example.org)$(lookup tls '[held.example.org]:587')" '' 'nothing for other keys'
equal "$(lookup ehlo 192.0.2.3)" pipelining 'an address behind a path that loses groups'
equal "$(lookup ehlo 192.0.2.2)$(lookup other 192.0.2.3)" '' 'nothing for other addresses and tables'

send you@open.example.org
send you@held.example.org
until_true 60 'both handshakes fail' at_least 2 'status=deferred (Cannot start TLS: handshake failure)'
# Older than minimal_backoff_time, which is when Postfix falls back.
until_true 60 'a message falls to clear text without the table' eval \
  'run postqueue -c "$conf" -f; pause 1; grep -q "to=<you@open.example.org>.*status=sent (250 2.0.0 taken in clear)" "$log"'
echo 'ok: without the table Postfix falls to clear text'
until_true 60 'further attempts' eval \
  'run postqueue -c "$conf" -f; pause 1; at_least 4 "to=<you@held.example.org>.*status=deferred (Cannot start TLS: handshake failure)"'
equal "$(count 'to=<you@held.example.org>.*status=sent')" 0 'with the table the message waits'
equal "$(grep -c 'took a message' "$work/trouble.log")" 1 'one message was taken in clear text, the other never was'
grep -q 'held.example.org: table tls answers "encrypt"' "$work/policyd.log" || { echo 'FAILED: policyd says what it answered'; exit 1; }

id=$(sed -n 's/.*: \([0-9A-F]*\): to=<you@open.example.org>.*status=sent.*/\1/p' "$log")
told() { jq -e --arg id "$id" 'select(.event == "clear-text-delivery") | .queue_id == $id and .severity == "warning"
  and .endpoint == "open.example.org[192.0.2.1]:25" and .suggestion.commands == ["open.example.org encrypt"]' "$work/events" >/dev/null; }
until_true 30 'an event about the message in clear text' told
equal "$(ask /v1/status | jq .mail_log.clear_text_deliveries)" 1 'it is counted, the one that waits is not'
grep -q "open.example.org: message $id went IN CLEAR TEXT to open.example.org\[192.0.2.1\]:25, with which TLS has failed; \"open.example.org encrypt\"" \
  "$work/probed.log" || { echo 'FAILED: a line about it in the log'; exit 1; }
echo 'ok: clear text after TLS failed is told with the queue id and what to do'

send you@groups.example.org
until_true 60 'a message through' at_least 1 'to=<you@groups.example.org>.*status=sent'
at_least 1 'discarding EHLO keywords: PIPELINING' || { echo 'FAILED: pipelining was discarded'; exit 1; }
echo 'ok: Postfix sends its commands one at a time'

# What failing closed means, as documented.
stop_policyd
send me@groups.example.org
until_true 60 'a deferral' at_least 1 'to=<me@groups.example.org>.*dsn=4.7.5, status=deferred (client TLS configuration problem)'
echo 'ok: without an answer of the table mail is deferred'
start_policyd
until_true 60 'mail flows again' eval \
  'run postqueue -c "$conf" -f; pause 1; at_least 1 "to=<me@groups.example.org>.*status=sent"'
echo passed
