#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each daemon runs out of file descriptors, by connections that others hold open: mail is taken, what is wrong is logged, and the
# daemon answers once there are descriptors again.
#   limits.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
mail_host_up
configure '[[route]]
domain = "asked.example.org"
next_hop = "[192.0.2.1]"'
in_namespace=(ip netns exec "$name" prlimit --nofile=40:40)
start_daemons probed policyd milter
send_mail 1
until_true 60 "mail arrives" all_arrived

used_up() { [ "$(find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l)" -ge 40 ]; }
# libmilter tells syslog alone; of the milter's trouble Postfix's log has its own word.
word() {
  case $1 in
    milter) grep -m 1 'warning: milter unix:' "$log" ;;
    *) grep -m 1 -iE 'postfathom-.* too many open files' "$work/$1.log" ;;
  esac
}
for daemon in policyd milter probed; do
  pid=pid_$daemon
  "$tester" hold "$(surface_of "$daemon")" "$(socket_of "$daemon")" 60 >"$work/held" &
  holder=$!
  pids+=("$holder")
  until_true 60 "$daemon uses all its descriptors" used_up "${!pid}"
  send_mail 1
  until_true 60 "mail arrives while $daemon has no descriptors" all_arrived
  until_true 60 "the logs say that $daemon has no descriptors" word "$daemon" >/dev/null
  # A probe without a descriptor for its connection has no opinion of the server, which is well.
  [ "$daemon" != probed ] || "$tester" tell policy "$sockets/policy.sock" you@asked.example.org >/dev/null
  kill "$holder"
  wait "$holder" || fail "the holder of connections"
  until_true 60 "$daemon answers when there are descriptors again" answers "$daemon"
  echo "$daemon without descriptors: mail flowed, it answers again; logged: $(word "$daemon")"
done
diagnosis() { ask_admin http://localhost/v1/destinations | jq -r '.destinations[] | select(.next_hop == "[192.0.2.1]").verdict.id'; }
some_diagnosis() { [ -n "$(diagnosis)" ]; }
until_true 60 "the probe that had no descriptor" some_diagnosis
[[ $(diagnosis) =~ ^(inconclusive|starttls-missing)$ ]] || fail "without a descriptor the server is called $(diagnosis)"
! grep unreachable "$work/probed.log" || fail "a server is called unreachable that nobody asked"
for daemon in policyd milter probed; do pid=pid_$daemon; kill -0 "${!pid}" || fail "$daemon ended"; done
send_mail 1
until_true 60 "mail arrives" all_arrived
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
echo "all well: $sent messages"
