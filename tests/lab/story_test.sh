#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The incident end to end: stuck mail is diagnosed, tagged, and freed by a proven fix.
#   story_test.sh BIN_DIR ipv4|ipv6|jumbo
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
case $2 in
  ipv4) scenario=black-hole mss=1360 host_route=203.0.113.25/32 ip=(ip -4) ;;
  ipv6) scenario=black-hole-ipv6 mss=1340 host_route=2001:db8:3::25/128 ip=(ip -6) ;;
  jumbo) scenario=jumbo mss=1360 host_route=203.0.113.25/32 ip=(ip -4) ;;
esac
lab_test "$scenario" "$1"
tag="(path: pmtu-black-hole inbound, path MTU 1400, MSS $mss works)"

step "the daemons run, and Postfix has the lines of the README"
postfathom_start
hook_postfix
routes_before=$(lab_exec sender "${ip[@]}" route show)

# By sendmail(1), which neither the policy request nor the milter sees: only the log can tell of it.
step "mail to the destination is deferred, with Postfix's own words"
submit_mail
wait_for 20 "the deferral" all_deferred
expect "reason" "$(queue_reasons)" "Cannot start TLS: handshake failure"

step "the log line was noticed: a probe names the black hole and its exact size"
wait_for 30 "the verdict" verdict_is example.net pmtu-black-hole
if [ "$2" = jumbo ]; then
  # Sizes above 1500 take one more unfinished handshake than the daemon allows itself in ten minutes.
  answer=$(admin_get /v1/destinations/example.net)
  expect "exactness within the daemon's budget" "$(jq .verdict.path_mtu_exact <<<"$answer")" false
  expect "lower bound" "$(jq '.verdict.path_mtu <= 1400' <<<"$answer")" true
  expect "upper bound" "$(jq '.verdict.path_mtu_below > 1400' <<<"$answer")" true
  step "a person asks the daemon, and gets the exact size at once"
  answer=$(admin_post /v1/probe '{"destination": "example.net", "wait": true}')
  expect "exactness for a person" "$(jq .verdict.path_mtu_exact <<<"$answer")" true
fi
answer=$(admin_get /v1/destinations/example.net)
expect "path MTU" "$(jq .verdict.path_mtu <<<"$answer")" 1400
expect "exactness" "$(jq .verdict.path_mtu_exact <<<"$answer")" true
expect "direction" "$(jq -r .verdict.direction <<<"$answer")" inbound
expect "usable MSS" "$(jq .verdict.usable_mss <<<"$answer")" "$mss"
expect_in "list of destinations" "$(admin_get /v1/destinations)" '"example.net"'

step "the next deferral carries the diagnosis, in the queue and in the log"
flush_queue
wait_for 20 "the tagged deferral" queue_reason_has "$tag"
expect "reason in the queue" "$(queue_reasons)" "Cannot start TLS: handshake failure $tag"
expect_in "mail log" "$(sender_log)" "status=deferred (Cannot start TLS: handshake failure $tag)"
expect_in "mail log" "$(sender_log)" "dsn=4.7.5"

step "a new message to the same place gets one header, a forged one is removed"
send_with_forged_header() {
  lab_exec sender bash -c '
    exec 3<>/dev/tcp/127.0.0.1/25
    say() { printf "%s\r\n" "$1" >&3; while read -r -u 3 line; do [[ $line == ???-* ]] || break; done; }
    read -r -u 3 line
    say "EHLO client.example.com"; say "MAIL FROM:<someone@example.com>"
    say "RCPT TO:<second@example.net>"; say "DATA"
    printf "Subject: second\r\nX-Postfathom-Diagnosis: relay.example.com; forged\r\n\r\ntext\r\n" >&3
    say "."; say "QUIT"'
}
send_with_forged_header
id=$(queue_json | jq -r 'select(.recipients[].address == "second@example.net") | .queue_id')
[ -n "$id" ] || fail "the second message is not in the queue"
headers=$(postcat -c "$LAB_DIR/sender/config" -q -h "$id")
expect "number of headers" "$(grep -ci '^X-Postfathom-Diagnosis:' <<<"$headers")" 1
unfolded=$(unfold <<<"$headers")
expect_in "header" "$unfolded" "X-Postfathom-Diagnosis: relay.example.com; next-hop=example.net; diagnosis=pmtu-black-hole; direction=inbound;"
expect_in "header" "$unfolded" "path-mtu=1400; mss=$mss; since="
expect_not_in "header" "$headers" forged
expect_in "policy warning" "$(sender_log)" "warn: RCPT from unknown[127.0.0.1]"

step "the metrics have the answers that Postfix waited for"
answered() { admin_get /metrics | awk -v "sample=postfathom_hook_answer_seconds_count{hook=\"$1\"}" '$1 == sample && $2 > 0 { found = 1 } END { exit !found }'; }
for hook in policy dsn milter; do wait_for 30 "the times of $hook" answered "$hook"; done

step "an operator asks: the report has the cause and a proven fix"
status=0
report=$(postfathom probe example.net --json) || status=$?
expect "exit status of probe" "$status" 2
expect "diagnosis" "$(jq -r '.diagnosis.id' <<<"$report")" pmtu-black-hole
expect "inbound path MTU" "$(jq '.endpoints[0].path_mtu.inbound' <<<"$report")" 1400
expect "inbound exact" "$(jq '.endpoints[0].path_mtu.inbound_exact' <<<"$report")" true
expect "outbound exact" "$(jq '.endpoints[0].path_mtu.outbound_exact' <<<"$report")" true
expect "interface MTU" "$(jq '.endpoints[0].vantage.interface_mtu' <<<"$report")" 8921
fix=$(jq -c '[.suggestions[] | select(.kind == "route-mtu" and .proven)][0]' <<<"$report")
[ "$fix" != null ] || fail "no proven route-mtu suggestion in: $report"
expect_in "policy level" "$(jq -r '.suggestions[] | select(.kind == "tls-policy").commands[]' <<<"$report")" "example.net encrypt"

# A delivery under way would still end in a deferral, after the flush.
wait_for 20 "both messages to be deferred" all_deferred
step "exactly the printed commands are run at the sender: $(jq -r '.commands | join("; ")' <<<"$fix")"
jq -r '.commands[]' <<<"$fix" >"$LAB_DIR/fix"
lab_exec sender sh -eu "$LAB_DIR/fix"
expect_in "route" "$(lab_exec sender "${ip[@]}" route show)" "mtu 1400"

step "the mail leaves, over TLS"
flush_queue
wait_for 30 "an empty queue" queue_is_empty
wait_for 10 "both messages" mail_has_arrived 2
expect_in "receiver's log" "$(receiver_log)" "TLS connection established from"
expect "messages with a TLS line in Received" "$(mailbox | grep -c 'using TLSv1.3 with cipher')" 2
expect "clear-text deliveries" "$(clear_text_deliveries)" ""
expect_in "delivered header" "$(mailbox | unfold)" "diagnosis=pmtu-black-hole"

step "the verdict follows: the way is healthy, a further message has no header"
wait_for 20 "the new verdict" verdict_is example.net healthy
expect "exit status of probe" "$(postfathom probe example.net >"$LAB_DIR/after.txt"; echo $?)" 0
send_mail third@example.net
wait_for 30 "the third message" mail_has_arrived 3
expect "headers delivered" "$(mailbox | grep -ci '^X-Postfathom-Diagnosis:')" 1

step "the printed undo puts the host back: $(jq -r '.undo | join("; ")' <<<"$fix")"
jq -r '.undo[]' <<<"$fix" >"$LAB_DIR/undo"
lab_exec sender sh -eu "$LAB_DIR/undo"
expect "routes" "$(lab_exec sender "${ip[@]}" route show)" "$routes_before"
expect_not_in "routes" "$(lab_exec sender "${ip[@]}" route show)" "$host_route"
expect "clear-text deliveries" "$(clear_text_deliveries)" ""
echo "ok"
