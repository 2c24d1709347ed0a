#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A hole over IPv6 alone: the printed transport frees stuck mail over IPv4 and TLS, and its undo leaves nothing.
#   family_test.sh BIN_DIR
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
lab_test ipv6-only-hole "$1"
conf=$LAB_DIR/sender/config
# IPv6 first, as many hosts have it, and one server in an attempt: so that mail is stuck and does not come a time-out later.
printf '%s\n' 'smtp_address_preference = ipv6' 'smtp_mx_address_limit = 1' 'smtp_balance_inet_protocols = no' "transport_maps = texthash:$conf/transport" >>"$conf/main.cf"
: >"$conf/transport"
lab_exec sender postfix -c "$conf" reload 2>/dev/null
state() { postconf -c "$conf" -n; postconf -c "$conf" -M; postconf -c "$conf" -P; cat "$conf/transport"; }
sent_over() { sender_log | grep -c "relay=mail.example.net\[$1\].*status=sent" || true; }

step "mail is stuck, and the hole is named: over IPv6 alone"
postfathom_start
submit_mail
wait_for 60 "the deferral" all_deferred
report=$(MAIL_CONFIG=$conf postfathom probe example.net --json || true)
ill() { jq -r '[.endpoints[] | select(.diagnosis.severity == "critical") | "\(.address) \(.diagnosis.id) \(.diagnosis.path_mtu)"] | join("; ")' <<<"$report"; }
well() { jq -r '[.endpoints[] | select(.diagnosis.id == "healthy") | "\(.address) \(.path_mtu.inbound)"] | join("; ")' <<<"$report"; }
expect "ill" "$(ill)" "2001:db8:3::25 pmtu-black-hole 1400"
expect "healthy" "$(well)" "203.0.113.25 1500"
fix=$(jq -c '[.suggestions[] | select(.kind == "address-family")][0]' <<<"$report")
[ "$fix" != null ] || fail "no address-family in: $(jq -c '[.suggestions[].kind]' <<<"$report")"

step "the printed lines are put in: $(jq -r '[.files[] | select(.file == "transport_maps").lines[]] + .commands | join("; ")' <<<"$fix")"
before=$(state)
jq -r '.files[] | select(.file == "transport_maps").lines[]' <<<"$fix" >"$conf/transport"
jq -r '.commands[]' <<<"$fix" >"$LAB_DIR/fix"
MAIL_CONFIG=$conf lab_exec sender sh -eu "$LAB_DIR/fix" 2>/dev/null
[ "$(state)" != "$before" ] || fail "nothing was changed"
flush_queue
wait_for 60 "an empty queue" queue_is_empty
wait_for 10 "the message" mail_has_arrived 1
expect "deliveries over IPv4" "$(sent_over 203.0.113.25)" 1
expect "messages with a TLS line in Received" "$(mailbox | grep -c 'using TLSv1.3 with cipher')" 1
expect "clear-text deliveries" "$(clear_text_deliveries)" ""

step "the printed undo puts Postfix back: $(jq -r '.undo | join("; ")' <<<"$fix")"
: >"$conf/transport"  # "take the entry out"
jq -r '.undo[]' <<<"$fix" >"$LAB_DIR/undo"
MAIL_CONFIG=$conf lab_exec sender sh -eu "$LAB_DIR/undo" 2>/dev/null
diff <(echo "$before") <(state) || fail "the undo leaves something"
echo "ok"
