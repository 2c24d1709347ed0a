#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each suggestion for a black hole: exactly the printed script is run, mail that was stuck flows over TLS, the printed undo
# is run, and the host is as it was.
#   fixes_test.sh BIN_DIR inbound|outbound [iptables]
# iptables: on a host that has no nft, and on a router with iptables.
set -euo pipefail
# shellcheck source=tests/lab/test.sh
. "$(dirname "$0")/test.sh"
direction=$2 firewall=${3:-nft}
command -v iptables-save >/dev/null || [ "$firewall" = nft ] || { echo "skipped: iptables is not installed"; exit 77; }
lab_test black-hole "$1"
[ "$firewall" = nft ] || LAB_HIDDEN=/usr/sbin/nft  # used by lib.sh
case $direction-$firewall in
  *-iptables) kinds=(mss-clamp-host mss-clamp-iptables) ;;
  inbound-*) kinds=(tunnel-mtu route-mtu route-advmss mss-clamp-host mss-clamp-nft) ;;
  outbound-*) kinds=(route-mtu mss-clamp-host mss-clamp-nft tcp-mtu-probing) ;;
esac
case $direction in
  outbound)
    # The hole is where the mail goes to.
    lab_ip router2 route replace default via 198.51.100.1
    lab_ip router1 route replace default via 198.51.100.2 mtu 1400
    ;;
esac

host_of() { case $1 in mss-clamp-nft|mss-clamp-iptables) echo router1 ;; *) echo sender ;; esac; }
# What the suggestions may change. Addresses of packets that were counted are no state of the host.
state() {
  local host=$1
  lab_exec "$host" ip -o link show | sed 's/\(mtu [0-9]*\).*/\1/'
  lab_exec "$host" ip -4 route show
  lab_exec "$host" ip -6 route show
  case $firewall in
    nft) lab_exec "$host" nft -s list ruleset ;;
    # Rules: an empty table stays when the first one in it goes.
    iptables) lab_exec "$host" iptables-save | grep '^-' || true ;;
  esac
  lab_exec "$host" sysctl net.ipv4.tcp_mtu_probing
  postconf -c "$LAB_DIR/sender/config" -n
  postconf -c "$LAB_DIR/sender/config" -M
}
large_mail() { { printf 'Subject: %s\n\n' "$1"; head -c 60000 /dev/zero | tr '\0' 'x' | fold -w 70; } | lab_exec sender sendmail -C "$LAB_DIR/sender/config" -f someone@example.com "$1@example.net"; }
id_to() { queue_json | jq -r --arg to "$1@example.net" 'select(.recipients[].address == $to) | .queue_id'; }
delivered() { [ -z "$(id_to "$1")" ]; }

step "a message for each suggestion is stuck"
postfathom_start
for kind in "${kinds[@]}" last; do large_mail "$kind"; done
wait_for 90 "the deferrals" all_deferred
expect "delivered messages" "$(mailbox | grep -c '^Subject:' || true)" 0

step "the hole is named: $direction, 1400 bytes"
answer=$(admin_post /v1/probe '{"destination": "example.net", "wait": true}')
verdict=$(admin_get /v1/destinations/example.net | jq -c .verdict)
expect "verdict" "$(jq -r '"\(.id) \(.direction) \(.path_mtu)"' <<<"$verdict")" "pmtu-black-hole $direction 1400"

# Before anything is mended: then there is nothing to suggest.
for kind in "${kinds[@]}"; do
  postfathom suggest example.net --kind "$kind" --format sh >"$LAB_DIR/$kind.sh" || fail "no $kind in: $(postfathom suggest example.net)"
  postfathom suggest example.net --kind "$kind" --format sh --undo >"$LAB_DIR/$kind.undo"
done
expect_in "text" "$(postfathom suggest example.net)" "Proven: "
expect "first of them" "$(postfathom suggest example.net --json | jq -r '.suggestions[0].proven')" true
other=$([ "$direction" = inbound ] && echo tcp-mtu-probing || echo route-advmss)
status=0
postfathom suggest example.net --kind "$other" >/dev/null 2>&1 || status=$?
expect "status of $other, which is for the other direction" "$status" 1

for kind in "${kinds[@]}"; do
  host=$(host_of "$kind")
  step "$kind at the $host: $(grep -v -e '^#' -e '^set -e' "$LAB_DIR/$kind.sh" | tr '\n' ';')"
  before=$(state "$host")
  lab_exec "$host" sh "$LAB_DIR/$kind.sh" >/dev/null
  [ "$(state "$host")" != "$before" ] || fail "$kind changed nothing"
  postqueue -c "$LAB_DIR/sender/config" -i "$(id_to "$kind")"
  wait_for 60 "the message for $kind" delivered "$kind"
  lab_exec "$host" sh "$LAB_DIR/$kind.undo" >/dev/null
  diff <(echo "$before") <(state "$host") || fail "the undo of $kind leaves something"
  # What the kernel found out meanwhile would help the next one.
  forget_sizes
done
# What a connection that timed out still had to send may follow once the way is free: such a message comes twice.
delivered=$(mailbox)
for kind in "${kinds[@]}"; do grep -qx "Subject: $kind" <<<"$delivered" || fail "no message for $kind in the mailbox"; done
expect "messages with a TLS line in Received" "$(grep -c 'using TLSv1.3 with cipher' <<<"$delivered")" "$(grep -c '^Subject:' <<<"$delivered")"
expect "clear-text deliveries" "$(clear_text_deliveries)" ""

step "without any of them the last message is stuck as before"
postqueue -c "$LAB_DIR/sender/config" -i "$(id_to last)"
attempts() { sender_log | grep -c 'to=<last@example.net>.*status=deferred'; }
twice() { [ "$(attempts)" -ge 2 ]; }
wait_for 60 "its second deferral" twice
expect "messages in the queue" "$(queue_json | jq -s length)" 1
echo "ok"
