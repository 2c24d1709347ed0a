#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server that stalls is told from a black hole, always.
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
lab_test silent-peer "$1"
postfathom_start
hook_postfix

step "mail is deferred, a probe finds a server that stalls"
send_mail
wait_for 20 "the deferral" queue_reason_has "Cannot start TLS: handshake failure"
wait_for 60 "the verdict" verdict_is example.net peer-stall
expect "path MTU" "$(admin_get /v1/destinations/example.net | jq .verdict.path_mtu)" null

step "the next deferral says so"
flush_queue
wait_for 30 "the tagged deferral" queue_reason_has "(path: peer-stall)"

step "the report rules a black hole out and suggests no change of the path"
status=0
report=$(postfathom probe example.net --json) || status=$?
expect "diagnosis" "$(jq -r .diagnosis.id <<<"$report")" peer-stall
expect "exit status" "$status" 2
expect_in "ruled out" "$(jq -r '.diagnosis.ruled_out[]' <<<"$report")" pmtu-black-hole
expect "path suggestions" "$(jq '[.suggestions[] | select(.kind | test("mtu|mss|icmp"))] | length' <<<"$report")" 0
echo "ok"
