#!/usr/bin/env bash
# setup.sh POSTFATHOM POLICYD MILTER: the lines in a real Postfix's configuration, mail through it with the daemons and
# without, and the files as they were.
set -euo pipefail
program=$1 policyd=$2 milter=$3
for tool in ip postfix smtp-source smtp-sink jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces and Postfix"; exit 77; }

name=pfsetup$$
work=$(mktemp -d /var/tmp/postfathom-setup-XXXXXX)  # maillog_file_prefixes has /var
conf=$work/conf queue=$work/queue log=$work/mail.log sockets=$work/queue/run/postfathom
pids=()
run() { ip netns exec "$name" "$@"; }
cleanup() {
  local status=$? pid
  run postfix -c "$conf" stop >/dev/null 2>&1 || true
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  [ "$status" -eq 0 ] || tail -n 40 "$log" "$work"/*.out 2>/dev/null || true
  ip netns del "$name" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; exit 1; }
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
until_true() { poll 60 "${@:2}" || fail "waited for 60 s: $1"; }

chmod 755 "$work"
ip netns add "$name"
run ip link set lo up
mkdir -p "$conf" "$queue" "$work/data" "$work/cache"
chown postfix "$work/data"
cat >"$conf/main.cf" <<CONF
# A comment that has to stay,   with its blanks.
compatibility_level = 3.6
queue_directory = $queue
data_directory = $work/data
maillog_file = $log
myhostname = mx.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = may
smtpd_peername_lookup = no
alias_maps =
relayhost = [127.0.0.1]:2526
smtpd_recipient_restrictions =
    permit_mynetworks,
    reject_unauth_destination
CONF
# Chrooted as on Debian, so that the sockets' spelling is tried where it matters.
cat >"$conf/master.cf" <<'CONF'
127.0.0.1:2525 inet n - y - - smtpd
127.0.0.1:2527 inet n - y - - smtpd
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - y - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - y - - trivial-rewrite
proxymap unix - - n - - proxymap
bounce unix - - y - 0 bounce
defer unix - - y - 0 bounce
trace unix - - y - 0 bounce
error unix - - y - - error
retry unix - - y - - error
smtp unix - - y - - smtp
anvil unix - - y - 1 anvil
tlsmgr unix - - y 1000? 1 tlsmgr
CONF
cat >"$work/postfathom.toml" <<CONF
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
[mail_log]
file = "$log"
[policy]
socket = "$sockets/policy.sock"
[dsn]
socket = "$sockets/dsn.sock"
[milter]
socket = "$sockets/milter.sock"
CONF
mkdir -p "$work/before"
cp -p "$conf/main.cf" "$conf/master.cf" "$work/before/"
setup() { run "$program" -c "$work/postfathom.toml" setup --postfix-config "$conf" "$@"; }
as_before() { cmp "$conf/main.cf" "$work/before/main.cf" && cmp "$conf/master.cf" "$work/before/master.cf"; }

# Printing changes nothing, and what is printed is what --apply does.
setup >"$work/printed"
as_before || fail "printing changes files"
[ "$(grep -c '^postconf ' "$work/printed")" -eq 4 ] || fail "not four commands: $(cat "$work/printed")"
setup --json | jq -e '.changes | length == 4 and (map(select(.file == "master.cf")) | length == 1)' >/dev/null ||
  fail "JSON: $(setup --json)"
grep '^postconf ' "$work/printed" >"$work/commands"
run bash -e "$work/commands"
cp "$conf/main.cf" "$work/by-hand.main" && cp "$conf/master.cf" "$work/by-hand.master"
cp -p "$work/before/main.cf" "$work/before/master.cf" "$conf/"
setup --apply >"$work/applied"
cmp "$conf/main.cf" "$work/by-hand.main" && cmp "$conf/master.cf" "$work/by-hand.master" || fail "printed and applied differ"
grep -q 'with its blanks' "$conf/main.cf" || fail "a comment is gone"
cp -p "$conf/main.cf" "$work/with.main"
grep -q 'nothing to do' <<<"$(setup --apply)" || fail "a second time there is something to do"
cmp "$conf/main.cf" "$work/with.main" || fail "a second time changes files"
run postfix -c "$conf" check >"$work/check.out" 2>&1 || fail "postfix check: $(cat "$work/check.out")"
run "$program" -c "$work/postfathom.toml" doctor --postfix-config "$conf" --json >"$work/findings" || true
jq -e '.findings[] | select(.id == "hooks" and .severity == "ok")' "$work/findings" >/dev/null ||
  fail "doctor does not like it: $(cat "$work/findings")"

ip netns exec "$name" smtp-sink -u postfix 127.0.0.1:2526 100 >"$work/sink.out" 2>&1 &
pids+=($!)
run postfix -c "$conf" start >"$work/start.out" 2>&1
until_true "Postfix logs" test -s "$log"
sent() { [ "$(grep -c 'status=sent' "$log" || true)" -ge "$1" ]; }
send() { run timeout 60 smtp-source -f a@example.net -t b@example.org "127.0.0.1:$1"; }

# Without the daemons.
send 2525
until_true "mail without the daemons" sent 1
# With them.
mkdir -p "$sockets"
chgrp postfix "$sockets"
chmod 2750 "$sockets"
ip netns exec "$name" "$policyd" -c "$work/postfathom.toml" >"$work/policyd.out" 2>&1 &
pids+=($!)
ip netns exec "$name" "$milter" -c "$work/postfathom.toml" >"$work/milter.out" 2>&1 &
pids+=($!)
until_true "policyd" test -S "$sockets/dsn.sock"
until_true "the milter" test -S "$sockets/milter.sock"
warnings=$(grep -c warning: "$log" || true)
send 2525
send 2527
until_true "mail with the daemons" sent 3
[ "$(grep -c warning: "$log" || true)" -eq "$warnings" ] || fail "Postfix does not reach the daemons"

# Undo to the byte; and where somebody has edited since, only what is ours goes.
setup --undo >/dev/null
as_before || fail "undo does not bring the files back"
[ "$(stat -c %a "$conf/main.cf")" = "$(stat -c %a "$work/before/main.cf")" ] || fail "undo changes the mode"
[ "$(find "$conf" -name '*postfathom*')" = "" ] || fail "undo leaves $(ls "$conf")"
grep -q 'nothing of Postfathom' <<<"$(setup --undo)" || fail "a second undo finds something"
setup --apply >/dev/null
postconf -c "$conf" -e 'smtp_tls_loglevel = 1'
setup --undo >/dev/null
grep -q run/postfathom "$conf/main.cf" "$conf/master.cf" && fail "undo leaves lines"
[ "$(postconf -c "$conf" -h smtp_tls_loglevel)" = 1 ] || fail "undo takes out an edit of somebody else"
[ "$(postconf -c "$conf" -h smtpd_recipient_restrictions)" = 'permit_mynetworks, reject_unauth_destination' ] ||
  fail "undo leaves $(postconf -c "$conf" -h smtpd_recipient_restrictions)"

# A table that fails closed is not set before it answers; a hook that is none is refused.
status=0
setup --hooks tls --apply 2>"$work/err" || status=$?
[ "$status" -eq 78 ] && grep -q tables.socket "$work/err" || fail "tls without a socket: $status, $(cat "$work/err")"
status=0
setup --hooks all 2>"$work/err" || status=$?
[ "$status" -eq 64 ] || fail "a hook that is none: $status, $(cat "$work/err")"
echo "set, mail flows, undone"
