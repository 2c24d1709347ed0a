# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Functions of the lab: network namespaces with a real Postfix at each end. Sourced by `lab`, by the tests
# here and by contrib/demo; never run by itself.
#
#   sender --(8921)-- router1 <-(1400)-- router2 --(1500)-- receiver
#
# The middle carries 1400 bytes towards the sender and all sizes away from it: the MTU of a route limits one
# direction, the MTU of a veth both.
# LAB_DIR holds everything (configuration, queues, logs, keys); LAB_ID makes namespace names unique.

LAB_DIR=${LAB_DIR:-/tmp/postfathom-lab}
LAB_ID=${LAB_ID:-$(cat "$LAB_DIR/id" 2>/dev/null || echo "$$")}

lab_scenarios='black-hole        the incident: a middle link that carries 1400 bytes to the sender, "too big" messages filtered, mail over IPv4
black-hole-ipv6   the same over IPv6
ipv6-only-hole    a server with two addresses, and the same over IPv6 alone
jumbo             the same with 8921 bytes at both ends
pmtud-works       the same middle link, and path MTU discovery works
healthy           1500 bytes everywhere
silent-peer       a server that answers 220 to STARTTLS and then nothing'

lab_namespace() { echo "pf$LAB_ID-$1"; }
# They are called often: no subshell for the name.
lab_exec() { ip netns exec "pf$LAB_ID-$1" "${@:2}"; }
lab_ip() { ip -n "pf$LAB_ID-$1" "${@:2}"; }

# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../poll.bash"
# shellcheck source=tests/tools/quick_start.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../tools/quick_start.bash"
# Waits until a command succeeds; says what it waited for when it does not.
#   wait_for SECONDS WHAT COMMAND...
wait_for() {
  poll "$1" "${@:3}" || { echo "gave up waiting for $2" >&2; return 1; }
}

lab_require() {
  local tool
  [ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; return 77; }
  for tool in ip nft dnsmasq postfix openssl socat jq curl; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; return 77; }
  done
  ip netns add "pf$$-check" 2>/dev/null || { echo "skipped: network namespaces cannot be made here"; return 77; }
  ip netns del "pf$$-check"
}

# --- network ------------------------------------------------------------------------------------------

lab_network_up() {
  local scenario=$1 ends=1500 middle=1400 sender=8921 host
  case $scenario in
    jumbo) ends=8921 ;;
    healthy|silent-peer) middle=1500 sender=1500 ;;
  esac
  for host in sender router1 router2 receiver; do
    ip netns add "$(lab_namespace "$host")"
    lab_exec "$host" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
      net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    lab_ip "$host" link set lo up
  done
  # The sender's interface is named like the tunnel of the incident; this kernel may have no WireGuard.
  lab_link sender wg0 192.0.2.1/24 2001:db8:1::1/64 router1 left 192.0.2.254/24 2001:db8:1::fe/64 "$sender"
  lab_link router1 right 198.51.100.1/24 2001:db8:2::1/64 router2 left 198.51.100.2/24 2001:db8:2::2/64 8921
  lab_link router2 right 203.0.113.254/24 2001:db8:3::fe/64 receiver lan 203.0.113.25/24 2001:db8:3::25/64 "$ends"

  lab_ip sender route add default via 192.0.2.254 dev wg0
  lab_ip sender -6 route add default via 2001:db8:1::fe dev wg0
  lab_ip router1 route add default via 198.51.100.2
  lab_ip router1 -6 route add default via 2001:db8:2::2
  lab_ip router2 route add default via 198.51.100.1 mtu "$middle"
  lab_ip router2 -6 route add default via 2001:db8:2::1 mtu "$middle"
  [ "$scenario" != ipv6-only-hole ] || lab_ip router2 route replace default via 198.51.100.1
  lab_ip receiver route add default via 203.0.113.254 dev lan
  lab_ip receiver -6 route add default via 2001:db8:3::fe dev lan

  case $scenario in
    black-hole|black-hole-ipv6|ipv6-only-hole|jumbo)
      # A router's own messages pass the output hook, those of others the forward hook.
      for host in router1 router2; do
        lab_exec "$host" nft -f - <<'RULES'
table inet filtered_icmp {
  chain too_big {
    icmp type destination-unreachable icmp code frag-needed counter drop
    icmpv6 type packet-too-big counter drop
  }
  chain output {
    type filter hook output priority 0;
    jump too_big
  }
  chain forward {
    type filter hook forward priority 0;
    jump too_big
  }
}
RULES
      done ;;
  esac
}

lab_link() {
  local a=$1 a_name=$2 a4=$3 a6=$4 b=$5 b_name=$6 b4=$7 b6=$8 mtu=$9
  lab_ip "$a" link add "$a_name" mtu "$mtu" type veth \
    peer name "$b_name" mtu "$mtu" netns "$(lab_namespace "$b")"
  lab_ip "$a" addr add "$a4" dev "$a_name"
  lab_ip "$a" -6 addr add "$a6" dev "$a_name" nodad
  lab_ip "$b" addr add "$b4" dev "$b_name"
  lab_ip "$b" -6 addr add "$b6" dev "$b_name" nodad
  lab_ip "$a" link set "$a_name" up
  lab_ip "$b" link set "$b_name" up
}

# --- names and certificates ---------------------------------------------------------------------------

lab_dns_up() {
  local scenario=$1 record=mail.example.net,203.0.113.25
  [ "$scenario" != black-hole-ipv6 ] || record=mail.example.net,2001:db8:3::25
  [ "$scenario" != ipv6-only-hole ] || record=mail.example.net,203.0.113.25,2001:db8:3::25
  mkdir -p "/etc/netns/$(lab_namespace sender)"
  echo 'nameserver 127.0.0.1' >"/etc/netns/$(lab_namespace sender)/resolv.conf"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"/etc/netns/$(lab_namespace sender)/hosts"
  # Not through lab_exec: the process id must be dnsmasq's own.
  ip netns exec "$(lab_namespace sender)" dnsmasq --keep-in-foreground --no-resolv --no-hosts \
    --local=/#/ --user=root --pid-file= --listen-address=127.0.0.1 --bind-interfaces \
    --log-facility="$LAB_DIR/dnsmasq.log" --mx-host=example.net,mail.example.net,10 \
    --host-record="$record" </dev/null >/dev/null 2>&1 &
  echo $! >>"$LAB_DIR/pids"
  disown
  # Port 53 of 127.0.0.1 is bound.
  wait_for 10 "the name server" lab_exec sender grep -q ' 0100007F:0035 ' /proc/net/udp
}

# A chain of about 4 KB: what a server sends fills several packets. Keys of that size take seconds to make:
# LAB_CERTIFICATES is a directory where they were made before.
lab_certificates() {
  local dir=${1:-$LAB_DIR/tls}
  mkdir -p "$dir"
  if [ -n "${LAB_CERTIFICATES:-}" ]; then
    cp "$LAB_CERTIFICATES"/* "$dir"
    return
  fi
  local quiet=(-newkey rsa:4096 -nodes -sha256)
  openssl req -x509 "${quiet[@]}" -days 30 -subj '/CN=Lab Root' -keyout "$dir/root.key" \
    -out "$dir/root.pem" 2>/dev/null
  openssl req "${quiet[@]}" -subj '/CN=Lab Intermediate' -keyout "$dir/inter.key" -out "$dir/inter.csr" 2>/dev/null
  openssl x509 -req -in "$dir/inter.csr" -CA "$dir/root.pem" -CAkey "$dir/root.key" -CAcreateserial \
    -days 30 -extfile <(echo 'basicConstraints=critical,CA:TRUE') -out "$dir/inter.pem" 2>/dev/null
  openssl req "${quiet[@]}" -subj '/CN=mail.example.net' -keyout "$dir/leaf.key" -out "$dir/leaf.csr" 2>/dev/null
  openssl x509 -req -in "$dir/leaf.csr" -CA "$dir/inter.pem" -CAkey "$dir/inter.key" -CAcreateserial \
    -days 30 -extfile <(echo 'subjectAltName=DNS:mail.example.net') -out "$dir/leaf.pem" 2>/dev/null
  cat "$dir/leaf.key" "$dir/leaf.pem" "$dir/inter.pem" "$dir/root.pem" >"$dir/chain.pem"
}

# --- Postfix ------------------------------------------------------------------------------------------

# What both ends have in common: an instance of its own in LAB_DIR/HOST, not chrooted.
lab_postfix_files() {
  local host=$1 dir=$LAB_DIR/$1
  mkdir -p "$dir/config" "$dir/queue" "$dir/data" "$dir/log"
  chown postfix "$dir/data"
  cp /etc/postfix/dynamicmaps.cf "$dir/config/" 2>/dev/null || true
  cat >"$dir/config/main.cf" <<CONF
compatibility_level = 3.6
config_directory = $dir/config
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file = $dir/log/mail.log
maillog_file_prefixes = $LAB_DIR
syslog_name = postfix-$host
alias_maps =
alias_database =
mydestination =
local_recipient_maps =
inet_protocols = all
biff = no
smtpd_peername_lookup = no
CONF
  cp "$(dirname "${BASH_SOURCE[0]}")/../tools/master.cf" "$dir/config/master.cf"
}

lab_sender_files() {
  local dir=$LAB_DIR/sender
  lab_postfix_files sender
  echo '127.0.0.1:25 inet n - n - - smtpd' >>"$dir/config/master.cf"
  # Short limits, so that a stall shows in seconds. minimal_backoff_time stays: before that age a message is
  # never sent in clear text at this level.
  cat >>"$dir/config/main.cf" <<CONF
myhostname = relay.example.com
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
smtp_tls_security_level = may
smtp_tls_CAfile = $LAB_DIR/tls/root.pem
smtp_tls_loglevel = 1
smtp_connect_timeout = 5s
smtp_helo_timeout = 10s
smtp_starttls_timeout = 5s
smtp_data_xfer_timeout = 10s
smtp_data_done_timeout = 10s
smtp_quit_timeout = 5s
minimal_backoff_time = 300s
CONF
}

lab_receiver_files() {
  local dir=$LAB_DIR/receiver
  lab_postfix_files receiver
  echo '25 inet n - n - - smtpd' >>"$dir/config/master.cf"
  mkdir -p "$dir/mail"
  chown postfix "$dir/mail"
  cat >>"$dir/config/main.cf" <<CONF
myhostname = mail.example.net
mynetworks = 127.0.0.0/8
smtpd_tls_chain_files = $LAB_DIR/tls/chain.pem
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
virtual_mailbox_domains = example.net
virtual_mailbox_base = $dir/mail
virtual_mailbox_maps = static:inbox
virtual_uid_maps = static:$(id -u postfix)
virtual_gid_maps = static:$(id -g postfix)
virtual_minimum_uid = 1
CONF
}

lab_postfix_start() {
  local host=$1 dir=$LAB_DIR/$1
  quick_start "$dir/queue"
  lab_exec "$host" postfix -c "$dir/config" start >>"$dir/log/start.log" 2>&1 || {
    cat "$dir/log/start.log" >&2
    return 1
  }
  wait_for 10 "Postfix of the $host" grep -q 'daemon started' "$dir/log/mail.log"
}

lab_silent_peer() {
  cat >"$LAB_DIR/silent-peer" <<'SERVER'
#!/usr/bin/env bash
# Speaks SMTP until STARTTLS, then reads and never answers.
printf '220 mail.example.net ESMTP\r\n'
while read -r line; do
  case ${line^^} in
    EHLO*) printf '250-mail.example.net\r\n250 STARTTLS\r\n' ;;
    STARTTLS*) printf '220 ready\r\n'; exec cat >/dev/null ;;
    QUIT*) printf '221 bye\r\n'; exit ;;
    *) printf '502 no\r\n' ;;
  esac
done
SERVER
  chmod +x "$LAB_DIR/silent-peer"
  ip netns exec "$(lab_namespace receiver)" socat -T 60 TCP-LISTEN:25,reuseaddr,fork \
    "EXEC:$LAB_DIR/silent-peer" </dev/null >/dev/null 2>&1 &
  echo $! >>"$LAB_DIR/pids"
  disown
  wait_for 10 "the silent server" lab_exec receiver grep -q ':0019 00000000:0000 0A' /proc/net/tcp
}

# --- the whole ----------------------------------------------------------------------------------------

# Says why a lab cannot be brought up here, before anything is touched.
lab_check() {
  grep -q "^$1 " <<<"$lab_scenarios" || { echo "no scenario '$1'; see 'lab list'" >&2; return 64; }
  [ ! -e "$LAB_DIR/id" ] || { echo "a lab is up in $LAB_DIR; take it down first" >&2; return 1; }
  [ -z "$(ls -A "$LAB_DIR" 2>/dev/null)" ] || { echo "$LAB_DIR is not empty; choose another with LAB_DIR" >&2; return 1; }
}

lab_up() {
  local scenario=$1
  mkdir -p "$LAB_DIR"
  [ -O "$LAB_DIR" ] || { echo "$LAB_DIR belongs to another user; choose another with LAB_DIR" >&2; return 1; }
  chmod 755 "$LAB_DIR"
  echo "$LAB_ID" >"$LAB_DIR/id"
  echo "$scenario" >"$LAB_DIR/scenario"
  : >"$LAB_DIR/pids"
  lab_certificates
  lab_network_up "$scenario"
  lab_dns_up "$scenario"
  lab_sender_files
  lab_postfix_start sender
  if [ "$scenario" = silent-peer ]; then
    lab_silent_peer
  else
    lab_receiver_files
    lab_postfix_start receiver
  fi
}

# Ends what was started, by process id, and removes namespaces and files. Never fails.
lab_down() {
  local host pid
  [ -e "$LAB_DIR/id" ] || return 0
  LAB_ID=$(cat "$LAB_DIR/id")
  postfathom_stop
  for host in sender receiver; do
    [ ! -e "$LAB_DIR/$host/config/main.cf" ] ||
      lab_exec "$host" postfix -c "$LAB_DIR/$host/config" stop >/dev/null 2>&1 || true
  done
  while read -r pid; do end_process "$pid"; done <"$LAB_DIR/pids"
  for host in sender router1 router2 receiver; do
    # A handler of the silent server may live on in its namespace; everything in there is ours.
    ip netns pids "$(lab_namespace "$host")" 2>/dev/null | while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done
    ip netns del "$(lab_namespace "$host")" 2>/dev/null || true
    rm -rf "/etc/netns/$(lab_namespace "$host")"
  done
  rm -rf "$LAB_DIR"
}

end_process() {
  local pid=$1
  kill -CONT "$pid" 2>/dev/null || return 0
  kill "$pid" 2>/dev/null || return 0
  wait_for 5 "process $pid to end" process_gone "$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true
}

process_gone() {
  ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# --- Postfathom in the sender's place -----------------------------------------------------------------

# As the README sets a relay up: the daemons run without privileges, and a directory that gives what is made in
# it to the group postfix lets Postfix in.
lab_user=nobody

postfathom_files() {
  local dir=$LAB_DIR/postfathom run=$LAB_DIR/sender/queue/run
  [ ! -e "$dir/postfathom.toml" ] || return 0
  mkdir -p "$dir/bin" "$run"
  install -d -o "$lab_user" -m 0750 "$dir/cache"
  install -d -o "$lab_user" -m 0755 "$dir/run"
  install -d -o "$lab_user" -g postfix -m 2750 "$run/postfathom"
  chmod 0644 "$LAB_DIR/sender/log/mail.log"
  # The user may not be let in where they were built.
  cp "$POSTFATHOM_BIN"/postfathom "$POSTFATHOM_BIN"/postfathom-{probed,policyd,milter} "$dir/bin"
  cat >"$dir/postfathom.toml" <<CONF
[log]
level = "debug"
[cache]
directory = "$dir/cache"
[notice]
socket = "$dir/run/notice.sock"
[mail_log]
file = "$LAB_DIR/sender/log/mail.log"
[probe]
ehlo_name = "relay.example.com"
ca_file = "$LAB_DIR/tls/root.pem"
min_interval = "1s"
[policy]
socket = "$LAB_DIR/sender/queue/run/postfathom/policy.sock"
[dsn]
socket = "$LAB_DIR/sender/queue/run/postfathom/dsn.sock"
[milter]
socket = "$LAB_DIR/sender/queue/run/postfathom/milter.sock"
host_token = "relay.example.com"
[admin]
socket = "$dir/run/admin.sock"
CONF
}

# postfathom_daemon NAME: runs one daemon in the sender's namespace. LAB_HIDDEN is a program that this host shall not
# have: `ip netns exec` gives each daemon mounts of its own.
postfathom_daemon() {
  local name=$1 dir=$LAB_DIR/postfathom
  # shellcheck disable=SC2016  # the inner shell expands these
  MAIL_CONFIG=$LAB_DIR/sender/config ip netns exec "$(lab_namespace sender)" \
    sh -c '[ -z "$1" ] || mount --bind /dev/null "$1"; shift; exec "$@"' sh "${LAB_HIDDEN:-}" \
    setpriv --reuid="$lab_user" --regid=nogroup --clear-groups --no-new-privs \
    "$dir/bin/postfathom-$name" -c "$dir/postfathom.toml" \
    </dev/null >>"$dir/$name.log" 2>&1 &
  echo $! >"$dir/$name.pid"
  disown  # its end is no news for the terminal
}

# POSTFATHOM_BIN says where the programs were built.
postfathom_start() {
  local dir=$LAB_DIR/postfathom name
  postfathom_files
  for name in probed policyd milter; do postfathom_daemon "$name"; done
  postfathom_ready || { tail -n 20 "$dir"/*.log >&2; return 1; }
}

postfathom_ready() {
  local run=$LAB_DIR/sender/queue/run/postfathom
  wait_for 10 "postfathom-probed" curl -sf --unix-socket "$LAB_DIR/postfathom/run/admin.sock" -o /dev/null http://localhost/healthz &&
    wait_for 10 "postfathom-policyd" test -S "$run/policy.sock" -a -S "$run/dsn.sock" &&
    wait_for 10 "postfathom-milter" test -S "$run/milter.sock"
}

postfathom_stop() {
  local name
  for name in policyd milter probed; do
    [ ! -e "$LAB_DIR/postfathom/$name.pid" ] || end_process "$(cat "$LAB_DIR/postfathom/$name.pid")"
  done
}

# The command line, as the same user: it needs no privileges.
postfathom() {
  MAIL_CONFIG=$LAB_DIR/sender/config lab_exec sender setpriv --reuid="$lab_user" --regid=nogroup --clear-groups --no-new-privs \
    "$LAB_DIR/postfathom/bin/postfathom" -c "$LAB_DIR/postfathom/postfathom.toml" "$@"
}

# A GET on the admin query socket.
admin_get() { curl -s --unix-socket "$LAB_DIR/postfathom/run/admin.sock" "http://localhost$1"; }
admin_post() { curl -s --max-time 120 --unix-socket "$LAB_DIR/postfathom/run/admin.sock" -d "$2" "http://localhost$1"; }
verdict_is() { [ "$(admin_get "/v1/destinations/$1" | jq -r '.verdict.id // empty')" = "$2" ]; }

# The lines that the README gives for main.cf: every hook fails open.
hook_postfix() {
  postconf -c "$LAB_DIR/sender/config" -e \
    'smtpd_recipient_restrictions = check_policy_service { unix:run/postfathom/policy.sock, timeout=3s, try_limit=1, default_action=DUNNO }, permit_mynetworks, reject_unauth_destination' \
    'smtpd_milters = { unix:run/postfathom/milter.sock, connect_timeout=3s, command_timeout=5s, content_timeout=5s, default_action=accept }' \
    'smtp_delivery_status_filter = socketmap:unix:run/postfathom/dsn.sock:dsn'
  lab_exec sender postfix -c "$LAB_DIR/sender/config" reload >/dev/null 2>&1
}

# --- mail ---------------------------------------------------------------------------------------------

# send_mail [RECIPIENT]: hands a message to the sender's Postfix over SMTP, as a program on its host would.
send_mail() {
  lab_exec sender smtp-source -c -f someone@example.com -t "${1:-user@example.net}" -m 1 -l 300 127.0.0.1:25 >/dev/null
}

# submit_mail [RECIPIENT]: the same by sendmail(1), past policy service and milter.
submit_mail() {
  printf "Subject: lab\n\ntext\n" |
    lab_exec sender sendmail -C "$LAB_DIR/sender/config" -f someone@example.com "${1:-user@example.net}"
}

queue_json() { postqueue -c "$LAB_DIR/sender/config" -j; }
queue_reasons() { queue_json | jq -r '.recipients[].delay_reason // empty'; }
queue_ids() { queue_json | jq -r '.queue_id'; }
queue_size() { queue_json | wc -l; }
queue_is_empty() { [ -z "$(queue_json)" ]; }
queue_reason_has() { queue_reasons | grep -qF -- "$1"; }
# Postfix ran a delivery of each message in the queue that ended in a deferral.
all_deferred() { queue_json | jq -es 'length > 0 and all(.queue_name == "deferred")' >/dev/null; }
flush_queue() { lab_exec sender postqueue -c "$LAB_DIR/sender/config" -f; }

# How many "too big" messages the routers swallowed.
dropped_too_big() {
  local host
  for host in router1 router2; do lab_exec "$host" nft -j list table inet filtered_icmp; done |
    jq -s '[.. | .counter? | objects | .packets] | add'
}

sender_log() { cat "$LAB_DIR/sender/log/mail.log"; }
receiver_log() { cat "$LAB_DIR/receiver/log/mail.log"; }
mailbox() { cat "$LAB_DIR/receiver/mail/inbox" 2>/dev/null || true; }
mail_has_arrived() { [ "$(mailbox | grep -c '^From ')" -ge "${1:-1}" ]; }

# Sessions of the receiver that took a message and were not encrypted; none is what we want.
clear_text_deliveries() {
  receiver_log | grep -E 'smtpd.*disconnect from .* data=[1-9]' | grep -v 'starttls=1' || true
}
