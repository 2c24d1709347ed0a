#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# floor.sh POSTFATHOM: the TLS level that a real Postfix has for a next hop is the floor of its report.
set -euo pipefail
program=$1
for tool in postconf postmap jq; do PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
export MAIL_CONFIG=$work
: >"$work/master.cf"
printf '%s\n' '[127.0.0.1]:9 verify' '[127.0.0.1]:10 encrypt protocols=>=TLSv1.2' '127.0.0.1 secure' >"$work/policy"
# main_cf LINE...
main_cf() { printf '%s\n' 'compatibility_level = 3.6' "$@" >"$work/main.cf"; touch -d '1 hour ago' "$work/main.cf"; }  # postconf(1) waits for one that is new
floor() {
  local report status=0
  report=$("$program" -c "$work/postfathom.toml" probe "$1" --timeout 5s --json 2>"$work/err") || status=$?
  [ "$status" -le 3 ] || fail "probe $1 ended with $status: $(cat "$work/err")"
  # A level that is not certain leaves no room for a suggestion of one.
  jq -e '.tls_floor_certain or all(.suggestions[]; .kind != "tls-policy")' >/dev/null <<<"$report" || fail "$1: $report"
  jq -r 'if .tls_floor_certain then .tls_floor else "at least \(.tls_floor)" end' <<<"$report"
}
expect() { local found; found=$(floor "$1"); [ "$found" = "$2" ] || fail "$1: expected $2, found $found with $(cat "$work/main.cf")"; echo "ok: $1: $2"; }
printf '[tls]\nfloor = "may"\n' >"$work/postfathom.toml"

main_cf 'smtp_tls_security_level = may' "smtp_tls_policy_maps = texthash:$work/policy"
expect '[127.0.0.1]:9' verify
expect '[127.0.0.1]:10' encrypt
expect '[127.0.0.1]:11' may
main_cf 'smtp_tls_security_level = dane'
expect '[127.0.0.1]:9' dane
main_cf
expect '[127.0.0.1]:9' may
# What a table that cannot be asked holds is not known, and nothing is lower than the setting.
main_cf 'smtp_tls_security_level = dane' "smtp_tls_policy_maps = socketmap:unix:$work/nobody:tls"
expect '[127.0.0.1]:9' 'at least dane'
main_cf 'smtp_tls_security_level = may' "smtp_tls_policy_maps = socketmap:unix:$work/nobody:tls"
printf '[tls]\nfloor = "encrypt"\n' >"$work/postfathom.toml"
expect '[127.0.0.1]:9' 'at least encrypt'
main_cf 'smtp_tls_security_level = may' "smtp_tls_policy_maps = texthash:$work/wrong"
echo '[127.0.0.1]:9 encrpyt' >"$work/wrong"
expect '[127.0.0.1]:9' 'at least encrypt'
main_cf 'smtp_tls_security_level = may'
expect '[127.0.0.1]:9' encrypt
# Our own table is not asked: it would say what follows from this.
main_cf 'smtp_tls_security_level = verify' "smtp_tls_policy_maps = socketmap:unix:$work/postfathom/tables.sock:tls"
printf '[tls]\nfloor = "may"\n[tables]\nsocket = "%s"\n' "$work/postfathom/tables.sock" >"$work/postfathom.toml"
expect '[127.0.0.1]:9' verify
export MAIL_CONFIG=$work/nowhere
expect '[127.0.0.1]:9' 'at least may'
echo "the floor is Postfix's"
