#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The disk below the cache is full, then read-only, while mail flows: the daemons go on with what they know, say what they
# cannot store, and store again once they can. The cache is on a small tmpfs in a mount namespace of its own.
#   disk.sh POLICYD MILTER PROBED POSTFATHOM TESTER
set -euo pipefail
if [ "${6-}" != inside ]; then
  [ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for namespaces"; exit 77; }
  unshare --mount true 2>/dev/null || { echo "skipped: no mount namespaces here"; exit 77; }
  exec unshare --mount "$0" "$@" inside
fi
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
# ip-netns(8) gives its program a copy of the mounts, which would stay read-only.
in_namespace=(nsenter --net="/run/netns/$name")
mail_host_up
mounted=$work/cache
mount -t tmpfs -o size=1m,mode=0755 tmpfs "$work/cache"
policy_lines='mode = "warn"' configure '[[route]]
domain = "ill.example.org"
next_hop = "[127.0.0.9]:9"'
start_daemons probed policyd milter

# Nothing listens at port 9: a verdict at once.
probe() { ask_admin -d "{\"destination\": \"[127.0.0.$1]:9\", \"wait\": true}" http://localhost/v1/probe >/dev/null; }
known() { ask_admin http://localhost/v1/destinations | jq -e --arg d "[127.0.0.$1]:9" 'any(.destinations[]; .next_hop == $d)' >/dev/null; }
warned() { [[ $("$tester" tell policy "$sockets/policy.sock" you@ill.example.org) == action=WARN* ]]; }
mail_flows() {
  send_mail 1
  until_true 60 "mail arrives while the disk is $1" all_arrived
  warned || fail "a verdict that was known is not told while the disk is $1"
}
logged() { grep -qE -- "$1" "$work/probed.log"; }
next=20
not_stored() { next=$((next + 1)); probe "$next"; logged "$1"; }
stored_again() { next=$((next + 1)); probe "$next"; known "$next"; }
probe 9
known 9 || fail "no first verdict: $(ask_admin http://localhost/v1/destinations)"

dd if=/dev/zero of="$work/cache/filler" bs=4096 status=none 2>/dev/null || true
until_true 60 "the prober says that the disk is full" not_stored 'cache: .*No space left on device; new verdicts are lost until this is mended'
mail_flows full
# A reader that comes now needs its place in the lock file.
end_process "$pid_policyd"
start_daemons policyd
mail_flows full
rm "$work/cache/filler"
until_true 60 "verdicts are stored once there is room" stored_again
logged 'cache: verdicts are stored again' || fail "no word of stores that succeed again"
known 9 || fail "what was known before the disk was full is lost"
echo "full: mail flowed, and what was known stayed"

# A disk becomes read-only only while nobody has a file open for writing. Readers then read, the writer says why it cannot.
end_process "$pid_policyd" "$pid_milter" "$pid_probed"
mount -o remount,ro "$work/cache"
start_daemons policyd milter
mail_flows read-only
status=0
run "$probed" -c "$work/postfathom.toml" >"$work/refused.log" 2>&1 || status=$?
[ "$status" -eq 74 ] && grep -q 'cannot start: .*Read-only file system' "$work/refused.log" ||
  fail "the prober ended with $status: $(cat "$work/refused.log")"
mount -o remount,rw "$work/cache"
start_daemons probed
known 9 || fail "what was known before the disk was read-only is lost"
until_true 60 "verdicts are stored again" stored_again
mail_flows "well again"
# Those readers had no place in the lock file; now they need one, or the prober would write where they read.
placed() { [ "$(grep -c "/lock.mdb" "/proc/$1/maps" || true)" -gt 0 ]; }
asked_and_placed() { warned; placed "$pid_policyd"; }
until_true 60 "policyd takes its place in the lock file" asked_and_placed
echo "read-only: mail flowed, and what was known stayed"
[ -z "$(find "$work/cache" -name '*.damaged-*')" ] || fail "a sound cache was set aside: $(ls "$work/cache")"
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
echo "all well: $sent messages"
