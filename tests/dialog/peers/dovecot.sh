#!/usr/bin/env bash
# dovecot.sh POSTFATHOM PEERS: IMAP with STARTTLS and with implicit TLS, on both families.
set -euo pipefail
program=$1 peers=$2 fake_mx=
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_peer dovecot

make_links
set_path 1500
make_certificates
make_root
ip -n "$server" addr add 198.51.100.3/24 dev lan
start_dovecot
log=$work/root/var/log/dovecot.log
logged_out() { lines 'Aborted login by logging out .*TLS' "$log"; }

reports=()
for service in imap imaps; do
  for address in '[198.51.100.2]' '[2001:db8:2::2]'; do
    reports+=("$work/report${#reports[@]}")
    probe "${reports[-1]}" "$address" --service "$service" --name mail.example.org
    healthy "${reports[-1]}" "$service"
  done
done
made=$(connections "${reports[@]}")
all_logged_out() { [ "$(logged_out)" -ge "$made" ]; }
until_true 20 "$made connections said LOGOUT inside TLS" all_logged_out
[ "$(logged_out)" -eq "$made" ] || fail "$(logged_out) of $made connections said LOGOUT inside TLS"
others=$(grep -E 'Disconnected|closed' "$log" | grep -v 'by logging out' || true)
[ -z "$others" ] || fail "connections ended otherwise: $others"
faults=$(grep -E 'Error|Warning|Fatal|Panic|SSL' "$log" | grep -v 'starting up' || true)
[ -z "$faults" ] || fail "Dovecot complains: $faults"

# A chain with a hole, as a real server sends it.
probe "$work/incomplete" '[198.51.100.3]' --service imaps --name mail.example.org
holds "$work/incomplete" 'leaf only' '.diagnosis.id == "certificate-incomplete-chain"'
holds "$work/incomplete" 'leaf only' '.endpoints[0].handshake.certificate | .chain_length == 1 and .missing_issuer == "CN=Example Intermediate CA,O=Example"'
# SMTP's port spoken to as IMAP's is not taken for a healthy one.
probe "$work/wrong" '[198.51.100.2]' --service smtp --port 143
holds "$work/wrong" 'IMAP taken for SMTP' '.diagnosis.id == "greeting-rejected" and .endpoints[0].dialog.fault == "other-protocol"'
echo "Dovecot: $made connections, each ended with LOGOUT"
