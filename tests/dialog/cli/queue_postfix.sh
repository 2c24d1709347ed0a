#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# queue_postfix.sh POSTFATHOM PROBED: a message that is stuck in a real Postfix's queue, of an instance of its own.
set -euo pipefail
program=$1 probed=$2
for tool in ip postfix; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for Postfix in a network namespace"; exit 77; }
tools=$(dirname "$(readlink -f "$0")")/../../tools
. "$(dirname "$0")/daemon.bash"

name=pfqueue$$
base=$(mktemp -d /var/tmp/postfathom-queue-XXXXXX)  # maillog_file_prefixes has /var
conf=$base/conf
run() { ip netns exec "$name" "$@"; }
at_end() {
  run postfix -c "$conf" stop >/dev/null 2>&1 || true
  ip netns del "$name" 2>/dev/null || true
  rm -rf "$base"
}
chmod 755 "$base"
mkdir "$conf" "$base/queue" "$base/data"
chown postfix "$base/data"
ip netns add "$name"
run ip link set lo up
cat >"$conf/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $base/queue
data_directory = $base/data
maillog_file = $base/mail.log
myhostname = mx.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
alias_maps =
relayhost = [127.0.0.1]:9
CF
cp "$tools/master.cf" "$conf/master.cf"
write_settings </dev/null
start_daemon ip netns exec "$name"
run postfix -c "$conf" start >/dev/null 2>&1
printf 'Subject: test\n\ntext\n' | run sendmail -C "$conf" -f me@example.com you@example.org
deferred() { run postqueue -c "$conf" -j | jq -e 'select(.queue_name == "deferred")' >/dev/null; }
until_true 60 "the message is deferred" deferred
postfathom queue --postfix-config "$conf" --json >"$work/out"
json_is '.messages == 1 and .stuck == 1'
json_is '.groups[0] | .next_hop == "[127.0.0.1]:9" and .next_hop_from == "relayhost" and .reason == "connect" and .verdict.id == "refused"'
# Where an address leads that a stranger may have chosen, only Postfix's table says.
printf '%s\n' 'example.org smtp:[127.0.0.1]:10' '.example.com error:no' >"$conf/transport"
postconf -c "$conf" -e "transport_maps = texthash:$conf/transport"
postfathom queue --postfix-config "$conf" --json >"$work/out"
json_is '.groups[0] | .next_hop == "[127.0.0.1]:10" and .next_hop_from == "transport_maps" and .verdict.id == "refused"'
postconf -c "$conf" -e 'transport_maps = texthash:/nonexistent/transport'
postfathom queue --postfix-config "$conf" >"$work/out" 2>"$work/err"
out_has 'example.org .*not probed, for Postfix may send it elsewhere; if it does not: postfathom probe .example.org.'
# A saved queue goes where this Postfix sends mail, and a domain that cannot be told is not probed.
run postqueue -c "$conf" -j >"$work/listing"
postfathom queue --postfix-config "$conf" --file "$work/listing" >"$work/out" 2>"$work/err"
out_has 'example.org .*not probed, for Postfix may send it elsewhere'
postfathom queue --postfix-config /nonexistent --file "$work/listing" >"$work/out" 2>"$work/err"
out_has 'example.org .*not probed, for Postfix may send it elsewhere'
# Nor does a warning of postmap's, of a table that is older than its source, say that the table does not answer.
postconf -c "$conf" -e "transport_maps = hash:$conf/transport" 'relayhost = [127.0.0.1]:9'
echo 'example.com error:no' >"$conf/transport"
postmap "hash:$conf/transport"
touch -d '-1 hour' "$conf/transport"
touch -d '-2 hours' "$conf/transport.db"
[[ $(postmap -c "$conf" -q example.org "hash:$conf/transport" 2>&1) == *'is older than source file'* ]] || fail "no warning of postmap"
postfathom queue --postfix-config "$conf" --file "$work/listing" --json >"$work/out"
json_is '.groups[0] | .next_hop == "[127.0.0.1]:9" and .next_hop_from == "relayhost" and .verdict.id == "refused"'
# Patterns are of addresses.
postconf -c "$conf" -e "transport_maps = regexp:$conf/patterns"
echo '/.@example\.org$/ relay:[127.0.0.1]:10' >"$conf/patterns"
postfathom queue --postfix-config "$conf" --file "$work/listing" --json >"$work/out"
json_is '.groups[0] | .next_hop == "[127.0.0.1]:10" and .next_hop_from == "transport_maps" and .verdict.id == "refused"'
expect 66 queue --postfix-config /nonexistent
err_has 'postqueue -j ended with status'
echo "a real queue: told"
