#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Mail flows as if Postfathom were not there when it is down, killed or stopped.
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
lab_test healthy "$1"

arrived=0
# mail_flows WHAT SECONDS
mail_flows() {
  step "mail flows while $1"
  local started=$SECONDS
  send_mail
  arrived=$((arrived + 1))
  wait_for "$2" "the message while $1" mail_has_arrived "$arrived"
  echo "  delivered after $((SECONDS - started)) s"
}
signal() { kill "-$1" "$(cat "$LAB_DIR/postfathom/$2.pid")"; }

postfathom_files
hook_postfix
mail_flows "the daemons were never started" 10

postfathom_start
mail_flows "the daemons run" 10

step "thirty messages pass while the daemons are killed one after the other"
lab_exec sender smtp-source -c -f someone@example.com -t user@example.net -m 30 -s 3 -l 300 127.0.0.1:25 \
  >/dev/null &
source=$!
for name in policyd milter probed; do
  sleep 0.1
  signal KILL "$name"
done
wait "$source"
arrived=$((arrived + 30))
wait_for 30 "all of them" mail_has_arrived "$arrived"
mail_flows "all three are dead" 10

postfathom_start
mail_flows "they run again" 10

# The hooks' own limits bound the harm to a message: 3 s for the policy request, 3 s and 5 s for the milter.
for name in probed policyd milter; do
  signal STOP "$name"
  mail_flows "$name hangs" 20
  signal CONT "$name"
done
for name in probed policyd milter; do signal STOP "$name"; done
mail_flows "all three hang" 30
for name in probed policyd milter; do signal CONT "$name"; done
mail_flows "they go on" 10
expect "clear-text deliveries" "$(clear_text_deliveries)" ""
expect "messages" "$(mailbox | grep -c '^From ')" "$arrived"
expect "headers" "$(mailbox | grep -ci '^X-Postfathom' || true)" 0
postfathom_stop

step "a deferral keeps Postfix's own text when nobody answers for it"
lab_exec receiver nft -f - <<'RULES'
table inet refuse {
  chain input {
    type filter hook input priority 0;
    tcp dport 25 reject with tcp reset
  }
}
RULES
send_mail
wait_for 20 "the deferral" queue_reason_has "connect to mail.example.net[203.0.113.25]:25: Connection refused"
expect "reason" "$(queue_reasons)" "connect to mail.example.net[203.0.113.25]:25: Connection refused"
echo "ok"
