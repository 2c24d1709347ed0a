#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where nothing is wrong, nothing is said.
#   healthy_test.sh BIN_DIR SCENARIO INBOUND
# A server with segmentation offload loses its whole first flight to "too big", and nothing arrives that would show it:
# then a smaller path is told in words alone.
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
lab_test "$2" "$1"
clear_text_seen() { [ -n "$(clear_text_deliveries)" ]; }
inbound=$3
is_no_fault() { case $1 in healthy|pmtu-reduced) ;; *) return 1 ;; esac; }
verdict_is_no_fault() { verdict_is example.net healthy || verdict_is example.net pmtu-reduced; }
postfathom_start
hook_postfix

step "an operator's probe finds no fault"
report=$(postfathom probe example.net --json) || fail "exit status $?: $report"
is_no_fault "$(jq -r .diagnosis.id <<<"$report")" || fail "diagnosis: $report"
expect "path MTU" "$(jq '.endpoints[0].path_mtu.inbound' <<<"$report")" "$inbound"
expect "protocol" "$(jq -r '.endpoints[0].handshake.protocol' <<<"$report")" TLSv1.3
expect "path suggestions" "$(jq '.suggestions | length' <<<"$report")" 0

step "the daemon agrees, and mail passes without tag or header"
curl -sf --unix-socket "$LAB_DIR/postfathom/run/admin.sock" -d '{"destination":"example.net","wait":true}' \
  http://localhost/v1/probe >"$LAB_DIR/answer.json" || fail "POST /v1/probe"
wait_for 10 "the verdict" verdict_is_no_fault
send_mail
wait_for 20 "the message" mail_has_arrived 1
expect "headers" "$(mailbox | grep -ci '^X-Postfathom' || true)" 0
expect_in "sender's log" "$(sender_log)" "status=sent (250 2.0.0 Ok: queued as"
expect_not_in "sender's log" "$(sender_log)" "path:"
expect "clear-text deliveries" "$(clear_text_deliveries)" ""

step "a delivery in clear text would have been noticed"
lab_exec sender smtp-source -c -f someone@example.com -t user@example.net 203.0.113.25:25 >/dev/null
wait_for 10 "the end of the session" clear_text_seen
echo "ok"
