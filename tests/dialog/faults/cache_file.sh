#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The cache's files are cut, garbled, replaced, removed under the three daemons while mail flows: every message is delivered,
# the damaged file is set aside, and a verdict is found, stored and told to Postfix again, without anybody's help.
# The daemons are started again when they end, as their units do.
# A header that cannot be written costs one change only.
#   cache_file.sh POLICYD MILTER PROBED POSTFATHOM TESTER FAIL_HEADER_WRITE
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5 preloaded=$6
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
mail_host_up
policy_lines='mode = "warn"' configure '[[route]]
domain = "ill.example.org"
next_hop = "[127.0.0.9]:9"'
for daemon in probed policyd milter; do
  ip netns exec "$name" env LD_PRELOAD="$preloaded" FAIL_HEADER_WRITE="$work/cache/fail" "$tester" keep "$(surface_of "$daemon")" "$(socket_of "$daemon")" "${!daemon}" \
    -c "$work/postfathom.toml" >"$work/$daemon.kept" 2>>"$work/$daemon.log" &
  pids+=($!)
done
for daemon in probed policyd milter; do until_true 30 "$daemon answers" answers "$daemon"; done

warned() { [[ $("$tester" tell policy "$sockets/policy.sock" you@ill.example.org) == action=WARN* ]]; }
# Nothing listens at port 9: a verdict at once. Asked for again and again, since the prober may be ending.
found_again() {
  ask_admin -d '{"destination": "[127.0.0.9]:9", "wait": true}' http://localhost/v1/probe >/dev/null 2>&1 || return 1
  warned
}
aside() { find "$work/cache" -name 'data.mdb.damaged-*' | wc -l; }
until_true 60 "the first verdict" found_again

data=$work/cache/data.mdb
# A full disk where even writing over what is there needs space, as on btrfs.
ask_admin -d '{"destination": "[127.0.0.8]:9", "wait": true}' http://localhost/v1/probe >/dev/null
: >"$work/cache/fail"
until_true 60 "the header is not written once" eval 'found_again; [ ! -e "$work/cache/fail" ]'
grep -q 'cache: .*No space left on device; new verdicts are lost' "$work/probed.log" || fail "the prober does not say that the header was not written"
ask_admin -f http://localhost/v1/destinations/%5B127.0.0.8%5D:9 >/dev/null || fail "what was known is gone with a header that was not written"
until_true 60 "a verdict is stored behind the header that was not written" eval 'found_again && grep -q "verdicts are stored again" "$work/probed.log"'
[ "$(aside)" -eq 0 ] || fail "a sound file was set aside"
echo "header_not_written: what was known is known, and new verdicts are stored"

# Without O_TRUNC, so that the damage is in the file that the daemons have mapped.
write_over() { dd of="$data" conv=notrunc bs=4096 seek="$2" count="$3" if="$1" status=none; }
cut_header() { truncate -s 4096 "$data"; }
cut_all() { truncate -s 0 "$data"; }
garbled_pages() { write_over /dev/urandom 2 60; }
garbled_header() { write_over /dev/urandom 0 2; }
foreign() { echo 'no cache' >"$work/foreign" && chmod 640 "$work/foreign" && mv "$work/foreign" "$data"; }
removed() { rm "$data" "$work/cache/lock.mdb"; }
lock_removed() { rm "$work/cache/lock.mdb"; }
writer_lock_removed() { rm "$work/cache/writer.lock"; }
lock_garbled() { dd if=/dev/urandom of="$work/cache/lock.mdb" conv=notrunc bs=4096 count=2 status=none; }

for damage in ${DAMAGE:-cut_header cut_all garbled_pages garbled_header foreign removed lock_removed writer_lock_removed lock_garbled}; do
  ended=$(cat "$work"/*.kept | grep -c 'ended with' || true)
  $damage
  send_mail 1
  until_true 60 "mail arrives after $damage" all_arrived
  until_true 60 "a verdict is told again after $damage" found_again
  echo "$damage: mail flowed, the verdict is back; $(aside) files set aside so far," \
    "$(($(cat "$work"/*.kept | grep -c 'ended with' || true) - ended)) ends of a daemon"
done
send_mail 1
until_true 60 "mail arrives at the end" all_arrived
! grep -E 'status=(deferred|bounced)|reject:' "$log" || fail "mail was refused or deferred"
[ "$(aside)" -gt 0 ] || fail "nothing was set aside"
grep -q 'cache: set aside as .*/data.mdb.damaged-' "$work/probed.log" || fail "no word of what was set aside"
grep -h 'ended with' "$work"/*.kept | sort | uniq -c || true
echo "all well: $sent messages"
