# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The peers of the matrix, started when a scenario first asks for them. Sourced by `matrix`.
#   postfix CERTIFICATE|tls-1.2|tls-1.3  a real Postfix with STARTTLS, in the latter cases with one version of TLS
#   postfix-at-once SAME                 the same with TLS from the first byte
#   s_server CERTIFICATE ARG...          openssl s_server: TLS from the first byte, and closed after the handshake
#   fake CERTIFICATE MODE [NUMBER]       tests/tools/fake_mx in a mode of its own
#   nobody                               a port on which nothing listens

# Ports by what is there: a peer keeps its port for the whole run.
declare -A server_ports=()
server_next_port=2600
server_pids=()
postfix_ports=(chain expired early other incomplete untrusted self weak tls-1.2 tls-1.3)

# server_start KIND...: leaves the port in `server_port`.
server_start() {
  local what="$*"
  server_port=${server_ports[$what]:-}
  [ -z "$server_port" ] || return 0
  case $1 in
    nobody) server_port=2599 ;;
    postfix|postfix-at-once) server_postfix "$@" || return 1 ;;
    s_server|fake)
      server_port=$((server_next_port++))
      "server_$1" "${@:2}" || return 1 ;;
    *) echo "no such server: $what" >&2; return 1 ;;
  esac
  server_ports[$what]=$server_port
}

# Waits until something listens on a port of the server, on any address of either family.
server_listens() { in_server grep -qs "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:0000 0A" /proc/net/tcp /proc/net/tcp6; }

server_fake() {
  local certificate=$1 mode=$2 delay=${3:-0}
  # Not through in_server: $! has to be the program itself.
  ip netns exec "$path_server" "$MATRIX_FAKE_MX" --listen :: --port "$server_port" --mode "$mode" --delay "$delay" \
    --cert "$certificates/$certificate.pem" --key "$certificates/$certificate.key" >"$lane_dir/$server_port.log" 2>&1 &
  server_pids+=($!)
  wait_for 10 "fake_mx $mode" server_listens "$server_port"
}

server_s_server() {
  local certificate=$1
  ip netns exec "$path_server" openssl s_server -accept "$server_port" -quiet -cert "$certificates/$certificate.pem" \
    -key "$certificates/$certificate.key" -cert_chain "$certificates/$certificate.pem" "${@:2}" \
    </dev/null >"$lane_dir/$server_port.log" 2>&1 &
  server_pids+=($!)
  wait_for 10 "s_server ${*:2}" server_listens "$server_port"
}

# One Postfix with a port for each certificate.
server_postfix() {
  local i
  [ -n "${postfix_dir:-}" ] || server_postfix_start || return 1
  for i in "${!postfix_ports[@]}"; do
    [ "${postfix_ports[i]}" = "$2" ] || continue
    if [ "$1" = postfix ]; then server_port=$((2500 + i)); else server_port=$((2550 + i)); fi
  done
}

server_postfix_start() {
  local i options
  postfix_dir=$lane_dir/postfix
  mkdir -p "$postfix_dir"/{config,queue,data,log}
  chown postfix "$postfix_dir/data"
  cp /etc/postfix/dynamicmaps.cf "$postfix_dir/config/" 2>/dev/null || true
  cp "$MATRIX_SOURCE/tests/tools/master.cf" "$postfix_dir/config/master.cf"
  cat >"$postfix_dir/config/main.cf" <<CONF
compatibility_level = 3.6
config_directory = $postfix_dir/config
queue_directory = $postfix_dir/queue
data_directory = $postfix_dir/data
maillog_file = $postfix_dir/log/mail.log
maillog_file_prefixes = $postfix_dir
myhostname = mail.example.org
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_protocols = all
smtpd_peername_lookup = no
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_chain_files = $certificates/chain.both
CONF
  for i in "${!postfix_ports[@]}"; do
    options="-o smtpd_tls_chain_files=$certificates/${postfix_ports[i]}.both"
    case ${postfix_ports[i]} in
      tls-1.2) options='-o { smtpd_tls_protocols = >=TLSv1.2, <=TLSv1.2 }' ;;
      tls-1.3) options='-o { smtpd_tls_protocols = >=TLSv1.3 }' ;;
    esac
    echo "$((2500 + i)) inet n - n - - smtpd $options"
    echo "$((2550 + i)) inet n - n - - smtpd -o smtpd_tls_wrappermode=yes $options"
  done >>"$postfix_dir/config/master.cf"
  quick_start "$postfix_dir/queue"
  in_server postfix -c "$postfix_dir/config" start >"$postfix_dir/log/start.log" 2>&1 || {
    cat "$postfix_dir/log/start.log" >&2
    return 1
  }
  wait_for 10 "Postfix" server_listens 2500
}

servers_stop() {
  local pid
  [ -z "${postfix_dir:-}" ] || in_server postfix -c "$postfix_dir/config" stop >/dev/null 2>&1 || true
  for pid in "${server_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
}
