#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# confinement.sh POLICYD MILTER PROBED TESTER: each daemon, started by nobody but this shell, confines itself; what it may and what
# it may not then, tried by a program that confines itself with the same function.
set -euo pipefail
policyd=$1 milter=$2 probed=$3 tester=$4

for tool in curl jq; do command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done
PATH=$PATH:/usr/sbin command -v postmap >/dev/null || { echo "skipped: Postfix is not installed"; exit 77; }
work=$(mktemp -d)
pid=
finish() {
  local status=$?
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then tail -n 30 "$work"/*.log 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*"; exit 1; }
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
until_true() { poll 30 "${@:2}" || fail "$1"; }  # until_true WHAT COMMAND...

mkdir "$work"/{etc,cache,run,log,secret,later}
echo secret >"$work/secret/shadow"
touch "$work"/log/mail.log{,.1}
configure() {  # configure MODE [MORE]
  cat >"$work/etc/new" <<CONF
[confinement]
mode = "$1"
[cache]
directory = "$work/cache"
[notice]
socket = "$work/run/notice.sock"
[admin]
socket = "$work/run/admin.sock"
[mail_log]
file = "$work/log/mail.log"
[dsn]
socket = "$work/run/dsn.sock"
[policy]
socket = "$work/run/policy.sock"
[milter]
socket = "$work/run/milter.sock"
${2:-}
CONF
  mv "$work/etc/new" "$work/etc/postfathom.toml"
}
configure required
config=$work/etc/postfathom.toml

# expect DAEMON "THING WORD: RESULT"...
expect() {
  local daemon=$1 line words=() status=0
  shift
  for line; do read -r -a more <<<"${line%:*}"; words+=("${more[@]}"); done
  "$tester" "$daemon" "$config" "${words[@]}" >"$work/tried" 2>"$work/tester.log" || status=$?
  [ "$status" -ne 77 ] || { tail -n 1 "$work/tried"; exit 77; }
  [ "$status" -eq 0 ] || fail "$daemon: the tester ended with $status: $(cat "$work/tried")"
  abi=$(sed -n 's/^abi: //p' "$work/tried")
  diff <(printf '%s\n' "$@") <(grep -v '^abi: ' "$work/tried") || fail "$daemon: expected (<) and found (>) differ"
}
forbidden_to_all=("ptrace: EPERM" "mount: EPERM" "bpf: EPERM" "keyctl: EPERM" "module: EPERM" "io_uring: EPERM" "unshare: EPERM"
  "setuid: EPERM" "chroot: EPERM" "writable-and-executable: EPERM" "becomes-executable: EPERM" "family 17: EPERM"
  "read $work/secret/shadow: EACCES" "write $config: EACCES" "create $work/etc/x: EACCES" "create $work/secret/x: EACCES"
  "remove $work/secret/shadow: EACCES" "directory $work/cache/d: EACCES" "write $work/log/mail.log: EACCES"
  "rename $work/log/mail.log: EACCES" "read /root/.bashrc: EACCES" "memory: ok" "thread: ok" "read $config: ok" "read /etc/localtime: ok"
  "family 1: ok")
[ -e /etc/localtime ] || forbidden_to_all=("${forbidden_to_all[@]/read \/etc\/localtime: ok/memory: ok}")
[ -r /root/.bashrc ] || forbidden_to_all=("${forbidden_to_all[@]/read \/root\/.bashrc: EACCES/memory: ok}")
touch "$work/cache/old"
for daemon in policyd milter; do
  touch "$work/run/old"
  rm -f "$work/cache/new"
  expect "$daemon" "${forbidden_to_all[@]}" "family 2: EPERM" "family 10: EPERM" "family 16: EPERM" "connect 25: EPERM" "bind 0: EPERM" \
    "run /bin/true: EPERM" "create $work/cache/new: ok" "write $work/cache/old: ok" "remove $work/cache/old: EACCES" \
    "rename $work/cache/old: EACCES" "remove $work/run/old: ok" "create $work/run/new: EACCES"
done
expect policyd "read $work/log/mail.log: ok" "read $work/log/mail.log.1: ok"
expect milter "read $work/log/mail.log: EACCES" "read /etc/passwd: EACCES" "read /proc/version: EACCES" "read /usr/bin/env: EACCES"
expect probed "${forbidden_to_all[@]}" "family 2: ok" "family 10: ok" "family 16: ok" "run /bin/true: ok" "read /etc/resolv.conf: ok" \
  "read $work/log/mail.log.1: ok" "write $work/cache/old: ok" "rename $work/cache/old: ok" "remove $work/cache/old.aside: ok" \
  "bind 0: ok" "connect 9: ECONNREFUSED"
[ "$abi" -lt 4 ] || expect probed "bind 2525: EACCES"
touch "$work/cache/run"
chmod +x "$work/cache/run"
expect probed "run $work/cache/run: EACCES"
rm -f "$work"/cache/*

# What is allowed is allowed by the units as well: the daemon's own filter is the narrower one.
if command -v systemd-analyze >/dev/null; then
  calls() { SYSTEMD_PAGER='' systemd-analyze syscall-filter "$@" | sed -n 's/^    \([-@a-z0-9_]*\)$/\1/p'; }
  expand() { local name; while read -r name; do case $name in @*) calls "$name" | expand ;; *) echo "$name" ;; esac; done; }
  comm -23 <(calls @system-service | expand | sort -u) <(calls @privileged @resources | expand | sort -u) >"$work/unit"
  [ "$(wc -l <"$work/unit")" -gt 200 ] || fail "systemd-analyze lists $(wc -l <"$work/unit") system calls only"
  for daemon in policyd milter probed; do
    extra=$("$tester" "$daemon" "$config" calls | sort -u | comm -23 - "$work/unit" | paste -sd' ')
    # Given where the cache belongs to another group, and to nobody by systemd's filter.
    [ "$daemon" != probed ] || extra=${extra/fchown/}
    [ -z "$extra" ] || fail "$daemon allows what its unit does not: $extra"
  done
fi

# Tables of Postfix are read wherever they are: without them a level above tls.floor would not be known.
mkdir "$work"/{postfix,tables}
echo '[127.0.0.1]:9 secure' >"$work/tables/policy"
printf '%s\n' 'compatibility_level = 3.6' "smtp_tls_policy_maps = texthash:$work/tables/policy" >"$work/postfix/main.cf"
touch "$work/postfix/master.cf"
export MAIL_CONFIG=$work/postfix
probe() { curl -sS --max-time 60 --unix-socket "$work/run/admin.sock" -d "{\"destination\": \"$1\", \"wait\": true}" http://localhost/v1/probe; }

# The daemons themselves.
socket_of() { case $1 in policyd) echo policy.sock ;; milter) echo milter.sock ;; probed) echo admin.sock ;; esac; }
start() {
  "${!1}" -c "$config" >"$work/$1.log" 2>&1 &
  pid=$!
  until_true "$1 does not listen: $(cat "$work/$1.log")" test -S "$work/run/$(socket_of "$1")"
  until_true "$1 is not ready" grep -Eq 'ready|listening' "$work/$1.log"
}
end() {
  kill "$pid"
  wait "$pid" || fail "$1 ended with $?"
  pid=
}
number_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }
mine=$(number_of $$ Seccomp_filters)
for daemon in probed policyd milter; do
  configure required
  start "$daemon"
  grep -q 'confined to: [0-9]* places in the file system.*Landlock.*seccomp' "$work/$daemon.log" || fail "$daemon does not say so"
  if [ "$daemon" = probed ]; then
    [ "$(probe '[127.0.0.1]:9' | jq -r .report.tls_floor)" = secure ] || fail "Postfix's table is out of reach"
    # With libunbound's thread.
    [ "$(probe name.invalid | jq -r .verdict.id)" != null ] || fail "no probe of a name"
    [ "$(find "/proc/$pid/task" -maxdepth 1 | wc -l)" -gt 2 ] || fail "expected threads beside the first one"
  fi
  for task in /proc/"$pid"/task/*; do
    [ "$(number_of "$pid/task/${task##*/}" Seccomp)" = 2 ] || fail "$daemon: a thread without a filter"
    [ "$(number_of "$pid/task/${task##*/}" NoNewPrivs)" = 1 ] || fail "$daemon: a thread that may gain privileges"
  done
  [ "$(number_of "$pid" Seccomp_filters)" = $((mine + 1)) ] || fail "$daemon: expected one filter more than the shell has"
  # The file may be replaced, as editors do, and is read again.
  configure required '[log]
level = "debug"'
  kill -HUP "$pid"
  until_true "$daemon does not read its configuration again" grep -Eq 'read again|settings reloaded' "$work/$daemon.log"
  if [ "$daemon" = probed ]; then
    echo >"$work/later/anchors.pem"
    configure required "[probe]
ca_file = \"$work/later/anchors.pem\""
    kill -HUP "$pid"
    until_true "nothing is said of a file out of reach" grep -q "probe.ca_file: $work/later/anchors.pem cannot be read: .*restart" "$work/probed.log"
  fi
  end "$daemon"
  case $daemon in policyd | milter) [ ! -e "$work/run/$(socket_of "$daemon")" ] || fail "$daemon leaves its socket" ;; esac

  configure off
  start "$daemon"
  [ "$(number_of "$pid" Seccomp_filters)" = "$mine" ] || fail "$daemon confines itself although it is not to"
  ! grep -q confined "$work/$daemon.log" || fail "$daemon says that it is confined"
  end "$daemon"
done
echo "confined: Landlock ABI $abi"
