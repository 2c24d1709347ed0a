# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A private Postfix in a network namespace of its own, beside postfathom-policyd. Sourced. Expects $policyd and
# $trouble_server, sets $work, $conf, $queue and $log, and cleans up at the end.

for tool in ip postfix openssl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces and Postfix"; exit 77; }

tools=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../tools
name=pfdsn$$
work=$(mktemp -d /var/tmp/postfathom-dsn-XXXXXX)  # maillog_file_prefixes has /var
conf=$work/conf queue=$work/queue log=$work/mail.log
policyd_pid= trouble_pid=
run() { ip netns exec "$name" "$@"; }

cleanup() {
  local status=$?
  run postfix -c "$conf" stop >/dev/null 2>&1 || true
  stop_policyd
  [ -z "$trouble_pid" ] || { kill "$trouble_pid" 2>/dev/null || true; wait "$trouble_pid" 2>/dev/null || true; }
  [ "$status" -eq 0 ] || { echo "--- mail log"; tail -n 60 "$log"; echo "--- policyd"; cat "$work/policyd.log"; } 2>/dev/null || true
  [ -z "${RECORD:-}" ] || cp "$log" "$RECORD" || true
  ip netns del "$name" 2>/dev/null || true
  rm -rf "$work" "/etc/netns/$name"
}
trap cleanup EXIT
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../poll.bash"
# shellcheck source=tests/tools/quick_start.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../tools/quick_start.bash"
# until_true SECONDS WHAT COMMAND...: waits until the command succeeds.
until_true() { poll "$1" "${@:3}" || { echo "FAILED: after $1 s: $2"; exit 1; }; }

namespace_up() {
  mkdir -p "/etc/netns/$name" "$conf" "$queue" "$work/data" "$work/cache"
  chmod 755 "$work"
  chown postfix "$work/data"
  ip netns add "$name"
  run ip link set lo up
  # As systemd sets it on a host. With the kernel's 10, fifty processes that log while postlogd(8) is started anew fill its
  # queue; master(8), which is to start it, then waits as they do when it logs, and nothing moves any more.
  run sysctl -qw net.unix.max_dgram_qlen=512
}

# What every configuration here begins with.
main_cf() {
  cat <<CONF
compatibility_level = 3.6
queue_directory = $queue
data_directory = $work/data
maillog_file = $log
myhostname = mx.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 192.0.2.0/24, 127.0.0.0/8
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_randomize_addresses = no
smtp_tls_loglevel = 1
alias_maps =
smtpd_peername_lookup = no
smtp_delivery_status_filter = socketmap:unix:run/dsn.sock:dsn
CONF
}

policyd_toml() {
  cat <<CONF
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "${1:-$log}"
[policy]
socket = "$queue/run/policy.sock"
[dsn]
socket = "$queue/run/dsn.sock"
CONF
}

start_policyd() {
  "$policyd" -c "$work/postfathom.toml" >>"$work/policyd.log" 2>&1 &
  policyd_pid=$!
  until_true 10 "policyd listens" test -S "$queue/run/dsn.sock"
}
stop_policyd() {
  [ -n "$policyd_pid" ] || return 0
  kill -CONT "$policyd_pid" 2>/dev/null || true
  kill "$policyd_pid" 2>/dev/null || true
  wait "$policyd_pid" 2>/dev/null || true
  policyd_pid=
}

# start_trouble ADDRESS:PORT=TROUBLE...: exec, so that the process we end is the server itself.
start_trouble() {
  (exec ip netns exec "$name" "$trouble_server" "$@") >"$work/trouble.log" &
  trouble_pid=$!
  until_true 10 "the failing servers listen" grep -q ready "$work/trouble.log"
}
start_postfix() {
  quick_start "$queue"
  run postfix -c "$conf" start >/dev/null 2>&1
  until_true 20 "Postfix runs" test -s "$log"
}
