#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The clock jumps ahead by a day and back again, for the daemons only (libfaketime): mail flows, and verdicts from another day are
# replaced by new ones, which nobody has to ask for but mail.
#   clock.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
faketime=$(find /usr/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "skipped: libfaketime is not installed"; exit 77; }
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
mail_host_up
# In brackets: the servers are at addresses of this host, to which MX records lead no mail, and no probe of the daemon.
policy_lines='mode = "warn"' configure '[[route]]
domain = "ill.example.org"
next_hop = "[d1.example.org]"
[probe]
min_interval = "1s"'
# By rename, since the daemons read it at each look at the clock.
clock() { echo "$1" >"$work/clock.new" && mv "$work/clock.new" "$work/clock"; }
clock +0
in_namespace=(ip netns exec "$name" env LD_PRELOAD="$faketime" FAKETIME_TIMESTAMP_FILE="$work/clock" FAKETIME_NO_CACHE=1
  FAKETIME_DONT_FAKE_MONOTONIC=1)
start_daemons probed policyd milter
warned() { [[ $("$tester" tell policy "$sockets/policy.sock" you@ill.example.org) == action=WARN* ]]; }
measured() { date +%s -d "$(ask_admin http://localhost/v1/destinations | jq -r '.destinations[] | select(.next_hop == "[d1.example.org]").verdict.measured_at')"; }
ask_admin -d '{"destination": "[d1.example.org]", "wait": true}' http://localhost/v1/probe >/dev/null
warned || fail "no first verdict"

# told_anew OFFSET: the verdict that is told was measured on the day that the clock shows now.
told_anew() {
  local away
  warned || return 1
  away=$(($(measured) - $(date +%s) - $1))
  [ "${away#-}" -lt 3600 ]
}
for jump in "+1d 86400" "+0 0"; do
  clock "${jump% *}"
  send_mail 1
  until_true 60 "mail arrives when the clock shows ${jump% *}" all_arrived
  until_true 60 "the verdict is measured anew when the clock shows ${jump% *}" told_anew "${jump#* }"
  for daemon in policyd milter probed; do answers "$daemon" || fail "$daemon does not answer when the clock shows ${jump% *}"; done
  echo "clock at ${jump% *}: mail flowed, and the verdict is of that day"
done
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
echo "all well: $sent messages"
