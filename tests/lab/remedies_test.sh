#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Suggestions beside those for the sizes of a hole (fixes_test.sh): each in the situation that it is for. Exactly the
# printed lines are put in, mail that was stuck flows over TLS, the printed undo is run, and the host is as it was.
#   remedies_test.sh BIN_DIR icmp-inbound|icmp-outbound|source|session-cache|pipelining|transport|policy|chain|protocols
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
situation=$2
case $situation in
  source|session-cache|policy) scenario=black-hole ;;
  transport) scenario=silent-peer ;;
  *) scenario=healthy ;;
esac
lab_test "$scenario" "$1"
conf=$LAB_DIR/sender/config

# --- what is common

# Of the host that a suggestion changes. The tables that a person has a line put into are files of the sender.
state() {
  local host=$1
  lab_exec "$host" ip -o link show | sed 's/\(mtu [0-9]*\).*/\1/'
  lab_exec "$host" ip -4 route show
  lab_exec "$host" nft -s list ruleset
  for place in sender receiver; do
    [ ! -e "$LAB_DIR/$place/config/main.cf" ] || { postconf -c "$LAB_DIR/$place/config" -n; postconf -c "$LAB_DIR/$place/config" -M; postconf -c "$LAB_DIR/$place/config" -P; }
  done
  tail -n +1 "$conf"/table.*
}
tables='smtp_tls_policy_maps smtp_discard_ehlo_keyword_address_maps transport_maps'
for table in $tables; do
  : >"$conf/table.$table"
  echo "$table = texthash:$conf/table.$table" >>"$conf/main.cf"
done
reload() { lab_exec "$1" postfix -c "$LAB_DIR/$1/config" reload >/dev/null 2>&1; }
reload sender

# suggested KIND REPORT: in $fix
suggested() {
  fix=$(jq -ce --arg kind "$1" '[.suggestions[] | select(.kind == $kind)][0] // empty' <<<"$2") ||
    fail "no $1 in: $(jq -c '.diagnosis, [.suggestions[].kind]' <<<"$2")"
}
printed() { jq -r ".$1[]" <<<"$fix"; }
# run_printed HOST commands|undo
run_printed() {
  printed "$2" >"$LAB_DIR/printed"
  MAIL_CONFIG=$LAB_DIR/$1/config lab_exec "$1" sh -eu "$LAB_DIR/printed" >/dev/null 2>&1 || fail "these do not run: $(cat "$LAB_DIR/printed")"
}
put_in() {
  local host=$1 table
  before=$(state "$host")
  step "put in at the $host: $(jq -r '[.files[] | select(.needed).lines[]] + .commands | join("; ")' <<<"$fix")"
  for table in $tables; do jq -r --arg table "$table" '.files[] | select(.needed and .file == $table).lines[]' <<<"$fix" >>"$conf/table.$table"; done
  if [ "$(jq -r .form <<<"$fix")" = postfix-line ]; then
    printed commands >>"$conf/table.$(jq -r .table <<<"$fix")"
    reload sender
  else
    run_printed "$host" commands
  fi
  [ "$(state "$host")" != "$before" ] || fail "nothing was changed"
}
take_out() {
  local host=$1 table
  step "taken out: $(printed undo | paste -sd';')"
  for table in $tables; do : >"$conf/table.$table"; done  # "take the line out"
  run_printed "$host" undo
  diff <(echo "$before") <(state "$host") || fail "the undo leaves something"
}

# A message of so many KB, in lines of 70.
mail_of() { { printf 'Subject: %s\n\n' "$1"; head -c "$2" /dev/zero | tr '\0' 'x' | fold -w 70; } | lab_exec sender sendmail -C "$conf" -f someone@example.com "${@:3}"; }
arrived_over_tls() {
  wait_for 90 "an empty queue" queue_is_empty
  wait_for 10 "the mail" mail_has_arrived "$1"
  # A connection that was given up at its end may still deliver what it had sent: the same message twice, and now.
  local -r delivered=$(mailbox)
  expect "messages with a TLS line in Received" "$(grep -c 'using TLSv1.[23] with cipher' <<<"$delivered")" "$(grep -c '^From ' <<<"$delivered")"
  expect "clear-text deliveries" "$(clear_text_deliveries)" ""
}
person_asks() { admin_post /v1/probe '{"destination": "example.net", "wait": true}'; }
own_report() { postfathom probe example.net --json "$@" || true; }

# --- the situations

# A router says "too big", and a firewall of Debian's shape behind it drops that.
icmp() {
  local limited=$1 firewall=$2 route=$3
  # shellcheck disable=SC2086  # words of a route
  lab_exec "$limited" ip route replace $route mtu 1400
  lab_exec "$firewall" nft -f - <<'RULES'
table inet filter {
  chain forward {
    type filter hook forward priority filter;
    icmp type destination-unreachable counter drop
  }
}
RULES
  mail_of large 60000 user@example.net
  wait_for 90 "the deferral" all_deferred
  suggested let-icmp-through "$(own_report)"
  put_in "$firewall"
  flush_queue
  arrived_over_tls 1
  take_out "$firewall"
}
icmp_inbound() { icmp router1 router2 "192.0.2.0/24 dev left"; }
icmp_outbound() { icmp router2 router1 "203.0.113.0/24 dev right"; }

# Another address of this host has another way, which was seen to be clean.
other_source() {
  lab_ip sender addr add 192.0.2.2/24 dev wg0
  lab_ip router2 route add 192.0.2.2/32 via 198.51.100.1
  postfathom_start
  submit_mail
  wait_for 60 "the deferral" all_deferred
  lab_ip sender route replace default via 192.0.2.254 dev wg0 src 192.0.2.2
  expect "from the other address" "$(person_asks | jq -r .verdict.id)" healthy
  lab_ip sender route replace default via 192.0.2.254 dev wg0
  expect "from the usual one" "$(person_asks | jq -r .verdict.id)" pmtu-black-hole
  suggested bind-address "$(postfathom suggest example.net --json)"
  put_in sender
  flush_queue
  arrived_over_tls 1
  expect_in "where from" "$(receiver_log)" "connect from unknown[192.0.2.2]"
  take_out sender
}

# Mail waits at full size until a session is in the cache; then it needs no certificates.
session_cache() {
  submit_mail first@example.net
  submit_mail second@example.net
  wait_for 60 "the deferrals" all_deferred
  suggested tls-session-cache "$(own_report)"
  put_in sender
  local first=$LAB_DIR/first
  id_of() { queue_json | jq -r --arg to "$1" 'select(.recipients[].address == $to).queue_id'; }
  gone() { [ -z "$(id_of "$1")" ]; }
  # "The first handshake still needs a path that carries them."
  lab_ip sender route add 203.0.113.25/32 via 192.0.2.254 dev wg0 mtu 1400
  postqueue -c "$conf" -i "$(id_of first@example.net)"
  wait_for 60 "the first message" gone first@example.net
  lab_ip sender route del 203.0.113.25/32
  forget_sizes
  flush_queue
  arrived_over_tls 2
  take_out sender
  submit_mail third@example.net
  wait_for 60 "a deferral as before" all_deferred
}

# A middlebox that loses segments of 256 to 511 bytes; timestamps make a packet of 52 bytes more.
pipelining() {
  local limit
  lab_exec router1 nft -f - <<'RULES'
table ip middlebox {
  chain forward {
    type filter hook forward priority 0;
    tcp dport 25 ip length 308-563 counter drop
  }
}
RULES
  for limit in mail rcpt data_init; do postconf -c "$conf" -e "smtp_${limit}_timeout = 5s"; done
  reload sender
  # MAIL, RCPT and DATA as one group have such a size; alone, none of them has.
  mail_of many 900 {a,b,c,d,e,f,g,h}@example.net
  wait_for 90 "the deferral" all_deferred
  suggested no-pipelining "$(own_report --sizes)"
  put_in sender
  flush_queue
  arrived_over_tls 8
  take_out sender
}

# No cure, and so the mail stays: it waits in a transport of its own.
transport() {
  submit_mail
  wait_for 60 "the deferral" all_deferred
  suggested transport-of-its-own "$(own_report)"
  put_in sender
  # The process at the other end of a connection to the server is one of the copy, with its time-outs.
  impatient() {
    local pid
    pid=$(lab_exec sender ss -Htnp 'dst 203.0.113.25 and dport = :25' | grep -oE 'pid=[0-9]+' | head -n 1)
    tr '\0' ' ' 2>/dev/null <"/proc/${pid#pid=}/cmdline" | grep -q -- '-n smtp-impatient .*-o smtp_starttls_timeout=60s'
  }
  flush_queue
  wait_for 30 "a connection of the copied transport" impatient
  take_out sender
}

# At `may` Postfix would send an older message in clear text.
policy() {
  postconf -c "$conf" -e minimal_backoff_time=1s
  reload sender
  suggested tls-policy "$(own_report)"
  put_in sender
  submit_mail
  local attempt
  attempts() { sender_log | grep -c 'status=deferred (Cannot start TLS: handshake failure)'; }
  at_least() { [ "$(attempts)" -ge "$1" ]; }
  for attempt in 1 2 3; do
    [ "$attempt" = 1 ] || flush_queue
    wait_for 60 "deferral $attempt" at_least "$attempt"
  done
  expect "what the receiver has" "$(mailbox)" ""
  lab_ip sender route add 203.0.113.25/32 via 192.0.2.254 dev wg0 mtu 1400
  flush_queue
  arrived_over_tls 1
  lab_ip sender route del 203.0.113.25/32
  take_out sender
}

# The server is ours, and its own operator asks there.
at_receiver() {
  MAIL_CONFIG=$LAB_DIR/receiver/config lab_exec receiver "$POSTFATHOM_BIN/postfathom" -c "$LAB_DIR/postfathom/postfathom.toml" \
    probe '[203.0.113.25]' --name mail.example.net --json || true
}
server_setting() { postconf -c "$LAB_DIR/receiver/config" -e "$1"; }
own_server() {
  postfathom_files
  reload receiver
  submit_mail
  wait_for 60 "the deferral" all_deferred
  suggested own-server "$(at_receiver)"
  put_in receiver
  flush_queue
  arrived_over_tls 1
  take_out receiver
}
chain() {
  local dir=$LAB_DIR/live
  mkdir "$dir"
  cp "$LAB_DIR/tls/leaf.pem" "$dir/cert.pem"
  cat "$LAB_DIR/tls/leaf.pem" "$LAB_DIR/tls/inter.pem" >"$dir/fullchain.pem"
  postconf -c "$LAB_DIR/receiver/config" -X smtpd_tls_chain_files
  server_setting "smtpd_tls_cert_file = $dir/cert.pem"
  server_setting "smtpd_tls_key_file = $LAB_DIR/tls/leaf.key"
  server_setting "smtp_tls_security_level = secure"
  postconf -c "$conf" -e "smtp_tls_security_level = secure"
  reload sender
  own_server
}
# Without TLS 1.3 the server needs a certificate of another kind than it has.
protocols() {
  local name
  for name in smtpd_tls_protocols smtpd_tls_mandatory_protocols; do server_setting "$name = !TLSv1.3"; done
  server_setting "smtpd_tls_exclude_ciphers = aRSA, aNULL"
  own_server
}

case $situation in
  icmp-inbound|icmp-outbound|session-cache|pipelining|transport|policy|chain|protocols)
    [ "$situation" = chain ] || [ "$situation" = protocols ] || postfathom_files
    "${situation/-/_}" ;;
  source) other_source ;;
  *) fail "no situation '$situation'" ;;
esac
echo "ok"
