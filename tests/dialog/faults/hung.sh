#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each daemon, and all three, hang (SIGSTOP): the time-outs that `postfathom setup` writes bound what mail has to wait, and
# when they go on everything is as before. What was measured is printed. Postfix's fixed 100 s for a socketmap are too long for a
# test; with WAIT_FOR_SOCKETMAP=yes they are measured too.
#   hung.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
mail_host_up
start_daemons probed policyd milter

now() { echo $(($(date +%s%N) / 1000000)); }
noted() { [ "$(grep -c 'status=sent' "$log" || true)" -eq "$sent" ]; }
# measure WHAT: five messages at once, one to each domain.
measure() {
  local begun taken
  begun=$(now)
  send_mail 1
  taken=$(($(now) - begun))
  until_true 90 "mail arrives while $1" all_arrived
  echo "$1: taken after $taken ms, delivered after $(($(now) - begun)) ms"
  # What main.cf allows is 3 s for the policy service and 5 s for the milter, twice where a message has two of its questions, and
  # a loaded machine's seconds. Without limits of their own these hooks wait for 100 and for 300 s.
  [ "$taken" -lt 25000 ] || fail "no time-out of main.cf bounds what a message waits while $1"
}
signal() { local daemon pid signal=$1; shift; for daemon; do pid=pid_$daemon; kill "-$signal" "${!pid}"; done; }

measure "all run"
until_true 60 "Postfix notes its deliveries" noted
for hung in probed policyd milter "policyd milter probed"; do
  # shellcheck disable=SC2086
  signal STOP $hung
  measure "$hung hung"
  if [[ $hung == policyd && ${WAIT_FOR_SOCKETMAP:-} == yes ]]; then
    begun=$(now)
    until_true 400 "smtp(8) gives up its question" noted
    echo "policyd hung: smtp(8) waited $(($(now) - begun)) ms for its socketmap"
  fi
  # shellcheck disable=SC2086
  signal CONT $hung
  until_true 60 "Postfix notes its deliveries after $hung hung" noted
  for daemon in policyd milter probed; do until_true 30 "$daemon answers again" answers "$daemon"; done
done
# A process of Postfix may still log what it met before.
undisturbed() {
  local before
  before=$(grep -c warning: "$log" || true)
  send_mail 1
  until_true 60 "mail while all run again" all_arrived
  until_true 60 "Postfix notes its deliveries" noted
  [ "$(grep -c warning: "$log" || true)" -eq "$before" ]
}
until_true 60 "Postfix has no trouble any more" undisturbed
measure "all run again"
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
echo "all well: $sent messages"
