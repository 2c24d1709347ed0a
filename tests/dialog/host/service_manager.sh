#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemons as a service manager runs them: sockets are passed to them, they say when they are ready, that they live,
# that they read their settings again and that they end; and the sockets stay for the next of them.
#   service_manager.sh POLICYD MILTER PROBED
set -euo pipefail
policyd=$1 milter=$2 probed=$3
probed_program=$probed  # the name is the process's later on
for tool in systemd-socket-activate socat curl; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "FAILED: $1"
  head -n 100 "$work"/*.log
  exit 1
}
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
# wait_for WORDS COMMAND...: until the command succeeds.
wait_for() { poll 30 "${@:2}" >/dev/null 2>&1 || fail "$1"; }
ended() { ! kill -0 "$1" 2>/dev/null; }
told() { grep -qF -- "$1" "$work/$2.log"; }

mkdir "$work/cache"
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
[mail_log]
file = ""
[policy]
socket = "$work/policy.sock"
[dsn]
socket = "$work/dsn.sock"
[milter]
socket = "$work/milter.sock"
TOML

# A bad configuration is told with its place, and ends with EX_CONFIG of sysexits(3).
printf '[probe]\nconcurrent = "many"\n' >"$work/bad.toml"
for program in "$policyd" "$milter" "$probed"; do
  status=0
  "$program" -c "$work/bad.toml" 2>"$work/bad.log" || status=$?
  [ "$status" -eq 78 ] || fail "${program##*/} ends with status $status"
  grep -qF "$work/bad.toml:2:14: probe.concurrent: " "$work/bad.log" || fail "${program##*/} does not tell the place"
done

# manager NAME: takes what the daemon tells.
manager() {  # manager NAME
  : >"$work/$1.told.log"
  socat -u "UNIX-RECV:$work/$1.notify" "OPEN:$work/$1.told.log,append" &
  pids+=($!)
  wait_for "no manager for $1" test -S "$work/$1.notify"
}
# activate NAME PROGRAM SOCKET...: starts it with the first connection, as systemd-socket-activate does.
activate() {
  local name=$1 program=$2 listen=()
  shift 2
  for socket; do listen+=(-l "$work/$socket"); done
  NOTIFY_SOCKET=$work/$name.notify WATCHDOG_USEC=2000000 systemd-socket-activate \
    -E "NOTIFY_SOCKET=$work/$name.notify" -E WATCHDOG_USEC=2000000 "${listen[@]}" \
    "$program" -c "$work/postfathom.toml" >>"$work/$name.log" 2>&1 &
  pids+=($!)
  eval "$name=$!"
  for socket; do wait_for "no $socket" test -S "$work/$socket"; done
}
answers() { printf 'request=smtpd_access_policy\n\n' | socat -t 5 - "UNIX-CONNECT:$work/policy.sock" | grep -q '^action='; }

# postfathom-policyd takes both sockets, in any order.
manager policy
activate policy "$policyd" dsn.sock policy.sock
wait_for "policyd does not answer over the passed socket" answers
told READY=1 policy.told || wait_for "policyd does not say that it is ready" told READY=1 policy.told
wait_for "policyd does not say that it lives" told WATCHDOG=1 policy.told
kill -HUP "$policy"
wait_for "policyd does not say that it reads its settings" told RELOADING=1 policy.told
kill -TERM "$policy"
wait_for "policyd does not end" ended "$policy"
told STOPPING=1 policy.told || fail "policyd does not say that it ends"
[ -S "$work/policy.sock" ] && [ -S "$work/dsn.sock" ] || fail "policyd removed a socket of its manager"
rm -f "$work/policy.sock" "$work/dsn.sock"
: >"$work/policy.told.log"

# A socket that no setting names is told; those that were not passed are made as ever, and removed at the end.
activate policy "$policyd" other.sock
socat -u OPEN:/dev/null "UNIX-CONNECT:$work/other.sock"
wait_for "policyd does not answer over a socket of its own" answers
wait_for "nobody tells of the socket without a setting" told "$work/other.sock: the service manager passed this socket" policy
kill -TERM "$policy"
wait_for "policyd does not end" ended "$policy"
[ ! -e "$work/policy.sock" ] && [ -S "$work/other.sock" ] || fail "policyd left its socket, or removed the manager's"

# postfathom-milter; libmilter answers the end of a connection that says nothing.
manager milter
activate milter "$milter" milter.sock
socat -u OPEN:/dev/null "UNIX-CONNECT:$work/milter.sock"
wait_for "the milter does not say that it is ready" told READY=1 milter.told
wait_for "the milter does not say that it lives" told WATCHDOG=1 milter.told
kill -HUP "$milter"
wait_for "the milter does not say that it reads its settings" told RELOADING=1 milter.told
kill -TERM "$milter"
wait_for "the milter does not end" ended "$milter"
told STOPPING=1 milter.told || fail "the milter does not say that it ends"
[ -S "$work/milter.sock" ] || fail "the milter removed the socket of its manager"

# postfathom-probed makes its sockets itself.
manager probed
NOTIFY_SOCKET=$work/probed.notify WATCHDOG_USEC=2000000 "$probed" -c "$work/postfathom.toml" >>"$work/probed.log" 2>&1 &
probed=$!
pids+=("$probed")
wait_for "probed does not say that it is ready" told READY=1 probed.told
curl -sS --max-time 30 --unix-socket "$work/admin.sock" http://localhost/healthz >/dev/null || fail "probed was not ready"
wait_for "probed does not say that it lives" told WATCHDOG=1 probed.told
kill -HUP "$probed"
wait_for "probed does not say that it reads its settings" told RELOADING=1 probed.told
kill -TERM "$probed"
wait_for "probed does not end" ended "$probed"
told STOPPING=1 probed.told || fail "probed does not say that it ends"

# But for the one that Postfix's TLS reports come to, where it may not write; the first of them starts it.
printf '[tlsrpt]\nsocket = "%s"\n' "$work/tlsrpt.sock" >>"$work/postfathom.toml"
systemd-socket-activate -d -l "$work/tlsrpt.sock" "$probed_program" -c "$work/postfathom.toml" >>"$work/probed.log" 2>&1 &
probed=$!
pids+=("$probed")
wait_for "no tlsrpt.sock" test -S "$work/tlsrpt.sock"
printf 'no report' | socat -u - "UNIX-SENDTO:$work/tlsrpt.sock"
heard() { curl -sS --max-time 30 --unix-socket "$work/admin.sock" http://localhost/v1/status | grep -q '"tlsrpt":{"received":1,'; }
wait_for "probed does not hear what comes to the passed socket" heard
kill -TERM "$probed"
wait_for "probed does not end" ended "$probed"
[ -S "$work/tlsrpt.sock" ] || fail "probed removed the socket of its manager"
echo "all three speak with their manager"
