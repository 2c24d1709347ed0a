#!/usr/bin/env bash
# doctor.sh POSTFATHOM POLICYD: a host in a network namespace with everything wrong, each finding mended with what doctor
# prints where that is a command.
set -euo pipefail
program=$1 policyd=$2
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
for tool in ip nft jq sysctl postconf setpriv; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }

name=pfdoc$$
work=$(mktemp -d /var/tmp/postfathom-doctor-XXXXXX)
conf=$work/conf queue=$work/queue
policyd_pid=
run() { ip netns exec "$name" "$@"; }
fail() { echo "FAILED: $*"; run "$program" -c "$work/postfathom.toml" doctor --postfix-config "$conf" || true; exit 1; }
cleanup() {
  [ -z "$policyd_pid" ] || { kill "$policyd_pid" 2>/dev/null || true; wait "$policyd_pid" 2>/dev/null || true; }
  ip netns del "$name" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
chmod 755 "$work"

ip netns add "$name"
run ip link set lo up
run ip link add eth0 type veth peer name far
run ip link set far up
run ip link set eth0 up
run ip addr add 198.51.100.2/24 dev eth0
run ip route add default via 198.51.100.1
mkdir -p "$conf" "$queue/run/postfathom" "$work/data" "$work/cache"
cat >"$work/postfathom.toml" <<CONF
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
[mail_log]
file = "$work/mail.log"
[policy]
socket = "$queue/run/postfathom/policy.sock"
[dsn]
socket = "$queue/run/postfathom/dsn.sock"
[milter]
socket = "$queue/run/postfathom/milter.sock"
CONF
cat >"$conf/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $queue
data_directory = $work/data
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
smtpd_recipient_restrictions = reject_unauth_destination,
  check_policy_service { unix:run/postfathom/policy.sock, timeout=3s, try_limit=1, default_action=DUNNO }
smtpd_milters = { unix:run/postfathom/milter.sock, connect_timeout=3s, command_timeout=5s, content_timeout=5s,
  default_action=accept }
smtp_delivery_status_filter = socketmap:unix:run/postfathom/dsn.sock:dsn
CONF
printf 'smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\n' >"$conf/master.cf"
: >"$work/mail.log"

status=0
examine() {
  status=0
  run "$program" -c "$work/postfathom.toml" doctor --postfix-config "$conf" --json >"$work/findings" || status=$?
}
# finds ID SEVERITY, lacks ID...
finds() {
  examine
  jq -e --arg id "$1" --arg severity "$2" '.findings[] | select(.id == $id and .severity == $severity)' \
    "$work/findings" >/dev/null || fail "no $1 of severity $2"
}
lacks() {
  examine
  jq -e --arg id "$1" '[.findings[] | select(.id == $id and .severity != "ok")] == []' "$work/findings" >/dev/null ||
    fail "$1 is still found"
}
# mends ID: runs the first command that doctor prints for it.
mends() {
  local command
  command=$(jq -r --arg id "$1" 'first(.findings[] | select(.id == $id)) | .mend[0]' "$work/findings")
  run bash -c "$command" >/dev/null || fail "$1: \"$command\" does not work"
  lacks "$1"
}

# A bridge and a tunnel that do not fit.
run ip link add br-mail type bridge
run ip link set br-mail mtu 1500 up
lacks bridge-mtu
run ip link set eth0 mtu 1450
finds bridge-mtu warning
mends bridge-mtu
run ip link set eth0 mtu 1500
if run ip link add vx0 type vxlan id 4 remote 198.51.100.9 dstport 4789 2>/dev/null; then
  run ip link set vx0 mtu 1500 up
  finds tunnel-mtu warning
  mends tunnel-mtu
  [ "$(run cat /sys/class/net/vx0/mtu)" = 1450 ] || fail "the tunnel's MTU is $(run cat /sys/class/net/vx0/mtu)"
else
  echo "no vxlan in this kernel: tunnels were not tried"
fi
run ip link set eth0 mtu 9001
finds jumbo-egress notice
run ip link set eth0 mtu 1500

# Routes.
run ip route add 203.0.113.6 via 198.51.100.1 mtu lock 900
finds route-mtu-locked warning
run ip route replace 203.0.113.6 via 198.51.100.1 mtu 900
lacks route-mtu-locked
finds route-mtu-by-hand notice
run ip route del 203.0.113.6
lacks route-mtu-by-hand

# The firewall. A rule for ICMP before the one that accepts what is related.
run nft add table inet filter
run nft 'add chain inet filter input { type filter hook input priority 0; policy drop; }'
run nft add rule inet filter input meta l4proto icmp drop
run nft add rule inet filter input ct state established,related accept
finds icmp-dropped warning
lacks icmpv6-dropped
mends icmp-dropped
run nft flush chain inet filter input
finds icmpv6-dropped warning
mends icmpv6-dropped
run nft delete table inet filter

# The kernel.
for wrong in 'tcp_mtu_probing=2 tcp-mtu-probing' 'ip_no_pmtu_disc=1 no-pmtu-discovery'; do
  run sysctl -qw "net.ipv4.${wrong% *}"
  finds "${wrong#* }" warning
  mends "${wrong#* }"
done
run sysctl -qw net.ipv4.tcp_mtu_probing=0
finds tcp-mtu-probing notice
run sysctl -qw net.ipv4.tcp_mtu_probing=1

# Postfix's settings.
finds hooks ok
finds daemons notice
[ "$status" -eq 0 ] || fail "a host in order, without daemons: status $status"
# Postfix reads a file again until its last change is a second old (dict_load_file_xt): make it old.
age() { touch -d '1 minute ago' "$conf/main.cf"; }
edit() { age; postconf -c "$conf" -e "$1"; age; }

edit 'smtpd_milters = unix:run/postfathom/milter.sock'
finds milter-default-action critical
[ "$status" -eq 2 ] || fail "a critical finding: status $status"
edit 'smtpd_milters ='
lacks milter-default-action
edit 'smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:run/postfathom/policy.sock'
finds policy-default-action critical
edit 'smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service { unix:run/postfathom/policy.sock, timeout=3s, try_limit=1, default_action=DUNNO }'
lacks policy-default-action
edit 'smtp_tls_policy_maps = socketmap:unix:run/postfathom/tables.sock:tls'
finds table-closed critical
edit 'smtp_tls_policy_maps ='
lacks table-closed
edit 'smtp_tls_security_level = may'
finds clear-text-fall-back warning
[ "$status" -eq 1 ] || fail "a warning: status $status"
edit 'smtp_tls_security_level = encrypt'
lacks clear-text-fall-back
edit 'smtp_tls_loglevel = 0'
finds tls-log-level notice
edit 'smtp_tls_loglevel = 1'
edit 'maillog_file = /var/log/elsewhere.log'
finds log-place warning
edit 'maillog_file ='
mv "$work/mail.log" "$work/gone"
finds log-missing warning
mv "$work/gone" "$work/mail.log"
lacks log-missing

# A daemon whose socket Postfix's user may not use, then one that is down.
chgrp postfix "$queue/run/postfathom"
chmod 2750 "$queue/run/postfathom"
# Not by the function: a function in the background is a shell of its own, and only that would be ended.
ip netns exec "$name" "$policyd" -c "$work/postfathom.toml" >"$work/policyd.log" 2>&1 &
policyd_pid=$!
poll 20 test -S "$queue/run/postfathom/dsn.sock" || { cat "$work/policyd.log"; fail "policyd does not listen"; }
lacks socket-permission
chmod 0600 "$queue/run/postfathom/policy.sock"
finds socket-permission warning
chmod 0660 "$queue/run/postfathom/policy.sock"
lacks socket-permission
finds daemon-down warning

# As an ordinary user: what cannot be read is said, the rest is examined.
status=0
run setpriv --reuid=65534 --regid=65534 --clear-groups "$program" -c "$work/postfathom.toml" doctor \
  --postfix-config "$conf" --json >"$work/findings" || status=$?
jq -e '.findings[] | select(.id == "unread" and (.what | test("firewall")))' "$work/findings" >/dev/null ||
  fail "an ordinary user is not told that the firewall's rules were not read"
jq -e '.findings[] | select(.id == "tls-level" and .severity == "ok")' "$work/findings" >/dev/null ||
  fail "an ordinary user is told nothing of Postfix"

# Without Postfix and any other program, and as text. They are looked for in /usr/sbin whatever PATH says.
# shellcheck disable=SC2016
run unshare --mount sh -c 'mount -t tmpfs none /usr/sbin && PATH=$1 && shift && exec "$@"' - "$work" \
  "$program" -c "$work/postfathom.toml" doctor >"$work/text" || true
grep -q "could not read" "$work/text" || fail "without any program: $(cat "$work/text")"
grep -q $'\e' "$work/text" && fail "colours in a pipe"
echo "each fault was found, and gone when it was mended"
