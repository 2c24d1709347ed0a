#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# This host has no IPv6, then no way for IPv4, and its link is taken away while a probe runs, while mail flows: what can be reached
# is told as it is, nothing is claimed of servers that were not asked, and the verdicts are back by themselves.
#   network.sh POLICYD MILTER PROBED POSTFATHOM TESTER TROUBLE-SERVER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
troubles=$6
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
readonly v4=203.0.113.5 v6=2001:db8:66::5 mute=203.0.113.6
mail_host_up
outside_up "$v4" "$v6" "$mute"
printf '%s\n' "$v4 both.example.net four.example.net" "$v6 both.example.net six.example.net" >>"/etc/netns/$name/hosts"
for address in "$v4" "[$v6]"; do
  ip netns exec "$outside" smtp-sink -u postfix "$address:25" 50 >>"$work/server.out" 2>&1 &
  pids+=($!)
done
ip netns exec "$outside" "$troubles" "$mute:25=hang-in-handshake" >"$work/trouble.out" 2>&1 &
pids+=($!)
until_true 20 "the mute server" grep -q ready "$work/trouble.out"
cache_lines='ill_refresh = "10s"' configure '[probe]
per_hour = 10000
budget_connections = 1000
min_interval = "1s"
connect_timeout = "2s"'
start_daemons probed policyd milter

verdict() { ask_admin "http://localhost/v1/destinations/%5B$1.example.net%5D" | jq -r '.verdict.id // "none"'; }
are() {  # are BOTH FOUR SIX
  local host
  for host in both four six; do
    [ "$(verdict "$host")" = "$1" ] || return 1
    shift
  done
}
are_now() {
  local host
  for host in both four six; do
    ask_admin -d "{\"destination\": \"[$host.example.net]\", \"wait\": true}" http://localhost/v1/probe >/dev/null
  done
  are "$@"
}
mail_flows() {
  send_mail 1
  until_true 60 "mail arrives while $1" all_arrived
  for daemon in probed policyd milter; do answers "$daemon" || fail "$daemon does not answer while $1"; done
}
# smtp-sink has no TLS, and says so.
readonly well=starttls-missing
until_true 60 "the first verdicts" are_now $well $well $well

run sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
mail_flows "there is no IPv6"
# A second probe has to agree, half a minute later.
until_true 90 "without IPv6 its servers have no route, and others are judged by IPv4" are_now $well $well no-route
run sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
run ip -6 addr replace 2001:db8:1::1/64 dev wan nodad
run ip -6 route replace default via 2001:db8:1::2 dev wan
until_true 60 "the verdicts are back with IPv6" are $well $well $well
echo "no IPv6: mail flowed, and the verdicts are back"

run ip route del default
mail_flows "there is no way for IPv4"
until_true 90 "without IPv4 its servers have no route, and others are judged by IPv6" are_now $well no-route $well
run ip route add default via 198.51.100.2 dev wan
until_true 60 "the verdicts are back with IPv4" are $well $well $well
echo "no route for IPv4: mail flowed, and the verdicts are back"

# The link goes while a handshake is waited for, which takes ten seconds at least.
ask_admin -d "{\"destination\": \"[$mute]\", \"wait\": true}" http://localhost/v1/probe >"$work/cut.out" 2>&1 &
cut=$!
pids+=("$cut")
in_handshake() { run ss -Htn state established dst "$mute" | grep -q . && grep -q . <(run ss -Htni state established dst "$mute" | grep -o 'bytes_sent:[2-9][0-9][0-9]'); }
until_true 30 "a probe waits for the handshake" in_handshake
run ip link del wan
mail_flows "the link is gone"
wait "$cut" || fail "no end of the probe whose link is gone: $(cat "$work/cut.out")"
said=$(ask_admin "http://localhost/v1/destinations/%5B$mute%5D" | jq -r '.verdict.id // "none"')
[[ $said =~ ^(inconclusive|no-route|unreachable|none)$ ]] || fail "a server whose link went away is called $said"
wan_up
until_true 90 "the verdicts are back with the link" are $well $well $well
mail_flows "all is well again"
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
for daemon in policyd milter probed; do pid=pid_$daemon; kill -0 "${!pid}" || fail "$daemon ended"; done
echo "link gone: mail flowed, the server was called $said, and the verdicts are back: $sent messages"
