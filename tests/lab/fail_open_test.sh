#!/usr/bin/env bash
# Mail flows as if Postfathom were not there when it is down, killed or stopped.
set -euo pipefail
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

postfathom_files
hook_postfix
mail_flows "the daemons were never started" 10

postfathom_start
mail_flows "the daemons run" 10

for name in probed policyd milter; do
  kill -9 "$(cat "$LAB_DIR/postfathom/$name.pid")"
done
mail_flows "all three were killed" 10

postfathom_start
mail_flows "they run again" 10

for name in probed policyd milter; do
  kill -STOP "$(cat "$LAB_DIR/postfathom/$name.pid")"
done
# The hooks' own limits bound the harm: 3 s for policy, 3 s and 5 s for the milter.
mail_flows "all three hang" 40
for name in probed policyd milter; do
  kill -CONT "$(cat "$LAB_DIR/postfathom/$name.pid")"
done
mail_flows "they go on" 10
expect "clear-text deliveries" "$(clear_text_deliveries)" ""
expect "messages" "$(mailbox | grep -c '^From ')" "$arrived"
postfathom_stop

step "a deferral keeps Postfix's own text when nobody answers for it"
lab_exec receiver nft -f - <<'RULES'
table inet refuse { chain input { type filter hook input priority 0; tcp dport 25 reject with tcp reset; } }
RULES
send_mail
wait_for 20 "the deferral" queue_reason_has "connect to mail.example.net[203.0.113.25]:25: Connection refused"
expect "reason" "$(queue_reasons)" "connect to mail.example.net[203.0.113.25]:25: Connection refused"
echo "ok"
