#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The name server is dead, mute, broken or lies, one after the other, while mail flows: each probe comes to an end, no server is
# called ill for what the name server does, nothing is asked at an address of this host, and the verdict is back by itself when the
# name server is well again.
#   resolver.sh POLICYD MILTER PROBED POSTFATHOM TESTER NAME-SERVER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
lying_name_server=$6
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
for tool in nft; do command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
readonly server=203.0.113.5
mail_host_up
outside_up "$server" 10.9.9.9
echo 'nameserver 127.0.0.1' >"/etc/netns/$name/resolv.conf"
ip netns exec "$outside" smtp-sink -u postfix "$server:25" 50 >"$work/server.out" 2>&1 &
pids+=($!)
say() { echo "$1" >"$work/mode.new" && mv "$work/mode.new" "$work/mode"; }
say well
name_server_up() {
  ip netns exec "$name" "$lying_name_server" "$work/mode" "$server" >"$work/name_server.out" 2>&1 &
  name_server=$!
  pids+=("$name_server")
  until_true 20 "the name server" grep -q ready "$work/name_server.out"
}
name_server_up
run nft -f - <<'NFT'
table inet watch {
  counter own { }
  chain out {
    type filter hook output priority 0;
    ip daddr { 127.0.0.1, 198.51.100.1 } tcp dport 25 tcp flags & (syn | ack) == syn counter name own
  }
}
NFT
asked_ourselves() { run nft -j list counter inet watch own | jq -r '[.nftables[].counter? // empty | .packets] | add'; }
lies=(${LIES:-dead mute servfail refused nxdomain truncated garbage huge broken loop loopback ours unspecified private many})
policy_lines='mode = "warn"' cache_lines='ill_refresh = "10s"' configure "[probe]
min_interval = \"1s\"
per_hour = 10000
budget_connections = 1000
connect_timeout = \"2s\"
$(printf '[[route]]\ndomain = "%s.example.org"\nnext_hop = "%s.example.net"\n' $(printf '%s\n' well "${lies[@]}" | sed 's/.*/& &/'))"
start_daemons probed policyd milter

diagnosis() { ask_admin "http://localhost/v1/destinations/$1.example.net" | jq -r '.verdict.id // "none"'; }
called() { [ "$(diagnosis "$1")" = "$2" ]; }
asked() { [ "$(diagnosis "$1")" != none ]; }
# Mail to a place that nothing is known of asks for a verdict.
mail_for() { "$tester" tell policy "$sockets/policy.sock" "you@$1.example.org" >/dev/null; }
ask_for() { ask_admin -d "{\"destination\": \"$1.example.net\", \"wait\": true}" http://localhost/v1/probe >/dev/null; }
# smtp-sink has no TLS, and says so.
readonly right=starttls-missing
mail_for well
until_true 60 "the first verdict" called well $right

for lie in "${lies[@]}"; do
  if [ "$lie" = dead ]; then end_process "$name_server"; else say "$lie"; fi
  mail_for "$lie"
  send_mail 1
  until_true 60 "mail arrives while the name server is $lie" all_arrived
  until_true 60 "the probe comes to its end while the name server is $lie" asked "$lie"
  for daemon in probed policyd milter; do answers "$daemon" || fail "$daemon does not answer while the name server is $lie"; done
  said=$(diagnosis "$lie")
  case $lie in
    # What it says is all that Postfix knows too: no such name, and servers that refuse or are silent.
    nxdomain) expected=name-error ;;
    private) expected=refused ;;
    many) expected=unreachable ;;
    *) expected=inconclusive ;;
  esac
  [ "$said" = "$expected" ] || fail "while the name server is $lie the destination is called $said, not $expected"
  # A probe of it may have been due meanwhile, and then says what Postfix meets.
  called well $right || { [ "$expected" != inconclusive ] && called well "$expected"; } ||
    fail "what was known is lost while the name server is $lie"
  say well
  [ "$lie" != dead ] || name_server_up
  begun=$SECONDS
  # What is ill is asked again by itself, of the others the next mail or person does. (libunbound keeps a SERVFAIL for 5 s.)
  right_again() { [ "$expected" != inconclusive ] || ask_for "$lie"; called "$lie" $right; }
  until_true 60 "the verdict is right after the name server was $lie" right_again
  well_again() { called well $right || { ask_for well; called well $right; }; }
  until_true 60 "what was known is right again after the name server was $lie" well_again
  echo "$lie: called $said; right after $((SECONDS - begun)) s"
done
[ "$(asked_ourselves)" -eq 0 ] || fail "$(asked_ourselves) connections to this host's own port 25, because a name server said so"
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
for daemon in policyd milter probed; do pid=pid_$daemon; kill -0 "${!pid}" || fail "$daemon ended"; done
echo "all well: $sent messages"
