#!/usr/bin/env bash
# exim.sh POSTFATHOM PEERS: SMTP with STARTTLS and with implicit TLS (GnuTLS), on both families.
set -euo pipefail
program=$1 peers=$2 fake_mx=
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_peer exim4

make_links
set_path 1500
make_certificates
make_root
start_exim
log=$work/root/var/log/exim4/mainlog

reports=()
for service in smtp smtps; do
  for address in '[198.51.100.2]' '[2001:db8:2::2]'; do
    reports+=("$work/$service${#reports[@]}")
    probe "${reports[-1]}" "$address" --service "$service" --name mail.example.org
    healthy "${reports[-1]}" "$service"
  done
done
# What Exim saw of each connection, in full.
starttls=$(connections "$work"/smtp[0-9]) implicit=$(connections "$work"/smtps[0-9])
quit() { lines 'closed by QUIT' "$log"; }
all_quit() { [ "$(quit)" -ge $((starttls + implicit)) ]; }
until_true 20 "$((starttls + implicit)) connections said QUIT" all_quit
[ "$(quit)" -eq $((starttls + implicit)) ] || fail "$(quit) of $((starttls + implicit)) connections said QUIT"
[ "$(lines ':25 .* X=TLS1.3.* C=EHLO,STARTTLS,EHLO,QUIT$' "$log")" -eq "$starttls" ] || fail "not each said EHLO, STARTTLS, EHLO, QUIT"
[ "$(lines ':465 .* X=TLS1.3.* C=EHLO,QUIT$' "$log")" -eq "$implicit" ] || fail "not each said EHLO, QUIT"
faults=$(grep -iE 'error|lost|unexpected|synchronization|syntax|timeout|dropped|rejected' "$log" || true)
[ -z "$faults" ] || fail "Exim complains: $faults"
[ ! -s "$work/root/var/log/exim4/paniclog" ] || fail "Exim panics"
echo "Exim: $starttls connections with STARTTLS and $implicit with implicit TLS, each ended with QUIT"
