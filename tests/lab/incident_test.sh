#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The incident without Postfathom: what Postfix says, what its own tools see, and that the route mends it. So
# the lab is what it claims to be; and the hooks in main.cf change nothing while nobody answers them.
#   incident_test.sh BIN_DIR ipv4|ipv6
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
case $2 in
  ipv4) scenario=black-hole route=(ip -4 route replace 203.0.113.25/32 via 192.0.2.254 dev wg0 mtu 1400) ;;
  ipv6) scenario=black-hole-ipv6 route=(ip -6 route replace 2001:db8:3::25/128 via 2001:db8:1::fe dev wg0 mtu 1400) ;;
esac
lab_test "$scenario" "$1"
hook_postfix

step "mail is deferred with Postfix's own words, although all three hooks lead nowhere"
send_mail
wait_for 30 "the deferral" all_deferred
expect "reason" "$(queue_reasons)" "Cannot start TLS: handshake failure"
expect_in "sender's log" "$(sender_log)" "Connection timed out"

step "small packets pass, and routers drop their messages about large ones"
[ "$(dropped_too_big)" -gt 0 ] || fail "no 'too big' message was dropped: this is no black hole"
expect_in "receiver's log" "$(receiver_log)" "starttls=0/1"

step "posttls-finger waits in vain as well"
finger=$(MAIL_CONFIG=$LAB_DIR/sender/config lab_exec sender posttls-finger -c -t 5 -T 4 -l encrypt example.net 2>&1)
expect_in "posttls-finger" "$finger" "SSL_connect error to mail.example.net"

step "a route with the size of the path mends it: the mail leaves over TLS"
lab_exec sender "${route[@]}"
flush_queue
wait_for 30 "an empty queue" queue_is_empty
wait_for 10 "the message" mail_has_arrived 1
expect "messages with a TLS line in Received" "$(mailbox | grep -c 'using TLSv1.3 with cipher')" 1
expect "clear-text deliveries" "$(clear_text_deliveries)" ""
echo "ok"
