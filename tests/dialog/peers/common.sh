#!/usr/bin/env bash
# Real mail servers for the tests beside this file, in the server's namespace of topology.sh. Dovecot and
# Exim are not installed, because Debian's packages start them and would remove Postfix: they are unpacked
# (contrib/install-dependencies test) and run in a directory of their own as their root.
# Expects $program (postfathom), $peers (where they are unpacked) and $fake_mx to be set.
set -euo pipefail

for tool in jq nft; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/../probe/topology.sh"

need_peer() {
  [ -x "$peers/usr/sbin/$1" ] || { echo "skipped: no $1 in $peers; contrib/install-dependencies test puts it there"; exit 77; }
}

fail() {
  echo "FAILED: $*"
  for log in "$work"/root/var/log/*.log "$work"/root/var/log/exim4/* "$work"/mail.log "$work"/*.out; do
    [ ! -s "$log" ] || { echo "--- $log"; tail -n 40 "$log"; }
  done
  exit 1
}
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../poll.bash"
until_true() { poll "$1" "${@:3}" || fail "after $1 s: $2"; }

listens() { in_server ss -Hltn "sport = :$1" | grep -q .; }
listening() {
  local port
  for port in "$@"; do until_true 60 "nothing listens on port $port" listens "$port"; done
}

# A root directory with the unpacked servers, users, the certificate and what they write.
make_root() {
  local -r root=$work/root
  cp -a "$peers/." "$root"
  mkdir -p "$root"/{dev,proc,run/dovecot,tmp,lib64,etc/ssl,etc/dovecot,var/lib/dovecot,var/spool/exim4,var/log/exim4}
  ln -sfn usr/lib "$root/lib"
  printf '%s\n' root:x:0:0::/:/bin/false nobody:x:65534:65534::/:/bin/false dovecot:x:901:901::/:/bin/false \
    dovenull:x:902:902::/:/bin/false Debian-exim:x:903:903::/:/bin/false mail:x:8:8::/:/bin/false >"$root/etc/passwd"
  printf '%s\n' root:x:0: nogroup:x:65534: dovecot:x:901: dovenull:x:902: Debian-exim:x:903: mail:x:8: >"$root/etc/group"
  echo 'hosts: files' >"$root/etc/nsswitch.conf"
  printf '127.0.0.1 localhost\n192.0.2.2 client.example.org\n2001:db8:1::2 client.example.org\n' >"$root/etc/hosts"
  cp "$work/chain.pem" "$work/leaf.pem" "$work/leaf.key" "$root/etc/ssl"
  chown -R 903:903 "$root/etc/ssl" "$root/var/spool/exim4" "$root/var/log/exim4"
  chmod 755 "$work" "$root"
}

# start NAME COMMAND...: in that root and the server's namespace. `ip netns exec` gives it mounts of its own.
start() {
  local -r name=$1
  shift
  ip netns exec "$server" bash -c '
    set -eu
    root=$1
    shift
    mount --make-rprivate /
    for part in /usr/lib/*-linux-gnu /lib64; do
      mkdir -p "$root$part"
      mount --bind "$part" "$root$part"
      mount -o remount,bind,ro "$root$part"
    done
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    exec chroot "$root" "$@"' start "$work/root" "$@" >"$work/$name.out" 2>&1 &
  servers+=($!)
}

start_dovecot() {
  cat >"$work/root/etc/dovecot/dovecot.conf" <<'CONF'
protocols = imap
listen = *, ::
log_path = /var/log/dovecot.log
ssl = required
ssl_cert = </etc/ssl/chain.pem
ssl_key = </etc/ssl/leaf.key
# Without the intermediate.
local 198.51.100.3 {
  ssl_cert = </etc/ssl/leaf.pem
}
passdb {
  driver = static
  args = nopassword=y
}
CONF
  start dovecot /usr/sbin/dovecot -F
  listening 143 993
  # It greets before its authentication process is there.
  until_true 60 "Dovecot is not ready" dovecot_ready
}
dovecot_ready() {
  in_server timeout 5 bash -c 'exec 3<>/dev/tcp/198.51.100.2/143; read -r -t 3 line <&3; [[ $line == *STARTTLS* ]]; read -r reply < <(echo "A LOGOUT" >&3; cat <&3)' 2>/dev/null
}

start_exim() {
  cat >"$work/root/etc/exim.conf" <<'CONF'
primary_hostname = mail.example.org
daemon_smtp_ports = 25 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = /etc/ssl/chain.pem
tls_privatekey = /etc/ssl/leaf.key
rfc1413_query_timeout = 0s
log_file_path = /var/log/exim4/%slog
log_selector = +all
spool_directory = /var/spool/exim4
keep_environment =
CONF
  start exim /usr/sbin/exim4 -C /etc/exim.conf -bdf
  listening 25 465
}

# probe FILE ARGUMENT...: a report into FILE; its exit status is the caller's to judge.
probe() {
  local -r file=$1
  shift
  in_client timeout 100 "$program" probe "$@" --ca-file "$work/root.pem" --json >"$file" 2>"$work/probe.out" ||
    [ $? -le 3 ] || fail "probe $*: $(cat "$work/probe.out")"
}

# holds FILE WHAT FILTER: the report has it.
holds() { jq -e "$3" "$1" >/dev/null || { jq . "$1"; fail "$2: $3"; }; }

# healthy FILE SERVICE: all that a probe of a good server has to say of it.
healthy() {
  holds "$1" "$2" '.diagnosis.id == "healthy"'
  holds "$1" "$2" ".endpoints[0].service == \"$2\""
  holds "$1" "$2" '.endpoints[0].handshake | .outcome == "ok" and .reached == "quit" and .protocol == "TLSv1.3"'
  holds "$1" "$2" '.endpoints[0].handshake.certificate | .verified and .name_matches and .names[0] == "mail.example.org"
    and .chain_length >= 2 and .chain_bytes > 2500 and .key == "RSA 2048" and (.self_signed | not) and .missing_issuer == null'
  holds "$1" "$2" '.endpoints[0].path_mtu.inbound == 1500'
  holds "$1" "$2" '.endpoints[0].cost | .aborted == 0 and .connections <= 4'
}
connections() { jq -s '[.[].endpoints[].cost.connections] | add' "$@"; }
lines() { grep -cE -- "$1" "$2" || true; }
