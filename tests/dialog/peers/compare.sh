#!/usr/bin/env bash
# compare.sh POSTFATHOM PEERS: `postfathom probe --compare` of a host with Exim and Dovecot, on paths that
# treat ports and families alike, and not.
set -euo pipefail
program=$1 peers=$2 fake_mx=
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_peer exim4
need_peer dovecot

make_links
set_path 1500
make_certificates
make_root
start_exim
start_dovecot
mkdir -p "/etc/netns/$client"
trap 'rm -rf "/etc/netns/$client"; cleanup' EXIT
printf '198.51.100.2 mail.example.org\n2001:db8:2::2 mail.example.org\n' >"/etc/netns/$client/hosts"

# compare STATUS ARGUMENT...: the comparison as JSON in $work/comparison.
compare() {
  local -r wanted=$1
  local status=0
  shift
  in_client timeout 250 "$program" probe mail.example.org --compare --ca-file "$work/root.pem" --json "$@" \
    >"$work/comparison" 2>"$work/probe.out" || status=$?
  [ "$status" -eq "$wanted" ] || { jq .comparison "$work/comparison"; fail "exit status $status, expected $wanted: $(cat "$work/probe.out")"; }
}
ids() { jq -r '[.comparison.statements[].id] | join(" ")' "$work/comparison"; }
# rows FILTER: how many endpoints of the table are so.
rows() { jq "[.comparison.endpoints[] | select($1)] | length" "$work/comparison"; }
expect() { [ "$1" = "$2" ] || { jq .comparison "$work/comparison"; fail "$3: found \"$1\", expected \"$2\""; }; }

compare 0
expect "$(ids)" all-alike 'all services'
expect "$(rows true)" 10 'five services, two families'
expect "$(rows '.open and .diagnosis == "healthy" and .inbound == 1500 and .protocol == "TLSv1.3"')" 8 'all but submission'
expect "$(rows '.port == 587 and (.open | not) and .diagnosis == "refused"')" 2 'submission'
expect "$(jq '.reports | length' "$work/comparison")" 10 'a report for each'
in_client "$program" probe mail.example.org --compare --service smtp --service imaps --ca-file "$work/root.pem" >"$work/table.out"
grep -q '^smtp:25 .* 198.51.100.2 .* healthy' "$work/table.out" || fail 'no line for smtp over IPv4'
grep -q '^imaps:993 .* 2001:db8:2::2 .* healthy' "$work/table.out" || fail 'no line for imaps over IPv6'
grep -q 'All open ports are well and alike' "$work/table.out" || fail 'no word about it'

# Nothing listens at all: that is a fault.
compare 2 --port 587 --port 4025
expect "$(ids)" nothing-open 'two closed ports'

# The server's larger packets over IPv6 vanish.
in_router nft -f - <<'RULES'
table inet hole {
  chain forward {
    type filter hook forward priority 0;
    oifname "toclient" meta nfproto ipv6 meta length > 1400 drop
  }
}
RULES
compare 2 --service smtp --service imaps
expect "$(ids)" only-ipv6-ill 'a hole over IPv6'
expect "$(rows '.diagnosis == "pmtu-black-hole" and .inbound == 1400')" 2 'a hole over IPv6'

# Those of port 25 vanish.
in_router nft flush ruleset
in_router nft -f - <<'RULES'
table inet hole {
  chain forward {
    type filter hook forward priority 0;
    oifname "toclient" tcp sport 25 meta length > 1400 drop
  }
}
RULES
compare 2 -4 --service smtp --service smtps
expect "$(ids)" implicit-tls-spared 'a rule about port 25'
cat "$work/table.out"
echo "all comparisons are as they should be"
