# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A mail host in a network namespace of its own: a private Postfix with the hooks that `postfathom setup` gives it, the
# three daemons, and a server that takes what leaves. Sourced, with the programs in $policyd, $milter, $probed,
# $postfathom and $tester. Beside what private_postfix.sh sets there are $sockets and $sink.
trouble_server=
# shellcheck source-path=SCRIPTDIR
# shellcheck source=tests/dialog/policyd/private_postfix.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../policyd/private_postfix.sh"
for tool in smtp-source smtp-sink curl; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
sockets=$queue/run/postfathom sink=$work/sink/mail pids=()
readonly domains=5  # servers, each for the domains below dN.example.org

end_process() {  # end_process PID...: also what is stopped
  local pid
  for pid; do
    kill -CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}
cleanup() {
  local status=$? file
  run postfix -c "$conf" stop >/dev/null 2>&1 || true
  end_process "${pids[@]}"
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    for file in "$work"/*.log "$work"/*.out; do
      [ ! -s "$file" ] || { echo "--- $file"; tail -n "${LOG_LINES:-25}" "$file"; }
    done
  fi
  [ -z "${mounted:-}" ] || umount "$mounted" || true
  for file in "$name" ${outside:-}; do ip netns del "$file" 2>/dev/null || true; done
  rm -rf "$work" "/etc/netns/$name"
}
fail() { echo "FAILED: $*"; exit 1; }

# configure [MORE]: postfathom.toml, with more lines at its end.
configure() {
  cat >"$work/postfathom.toml" <<CONF
[cache]
directory = "$work/cache"
${cache_lines:-}
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
[mail_log]
file = "$log"
[dsn]
socket = "$sockets/dsn.sock"
[policy]
socket = "$sockets/policy.sock"
${policy_lines:-}
[milter]
socket = "$sockets/milter.sock"
${milter_lines:-}
${1:-}
CONF
}

mail_host_up() {
  local i
  namespace_up
  mkdir -p "$sockets" "$work/sink"
  chown postfix "$work/sink"
  chgrp postfix "$sockets"
  chmod 2750 "$sockets"
  echo '127.0.0.1 localhost' >"/etc/netns/$name/hosts"
  for i in $(seq "$domains"); do
    run ip addr add "192.0.2.$i/32" dev lo
    echo "192.0.2.$i d$i.example.org" >>"/etc/netns/$name/hosts"
  done
  {
    main_cf | grep -v '^smtp_delivery_status_filter'
    echo "transport_maps = texthash:$conf/transport"
    # qmgr(8) would not use the sink again for a minute after any trouble.
    printf '%s\n' 'smtp_tls_security_level = may' 'in_flow_delay = 0' 'minimal_backoff_time = 2s' \
      'maximal_backoff_time = 2s' 'queue_run_delay = 2s' 'smtpd_client_connection_count_limit = 0' \
      'smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination'
  } >"$conf/main.cf"
  for i in $(seq "$domains"); do echo ".d$i.example.org smtp:d$i.example.org"; done >"$conf/transport"
  {
    echo '127.0.0.1:2500 inet n - n - - smtpd'
    cat "$tools/master.cf"
  } >"$conf/master.cf"
  configure
  run "$postfathom" -c "$work/postfathom.toml" setup --postfix-config "$conf" --apply >"$work/setup.out" ||
    fail "postfathom setup"
  ip netns exec "$name" smtp-sink -u postfix -D "$sink" :25 200 >"$work/sink.out" 2>&1 &
  pids+=($!)
  start_postfix
}

# outside_up ADDRESS...: a namespace $outside behind the link "wan", which leads to all the world, with these addresses in it.
outside_up() {
  local address
  outside=$name-out
  ip netns add "$outside"
  ip netns exec "$outside" ip link set lo up
  wan_up
  for address; do
    case $address in
      *:*) ip netns exec "$outside" ip -6 addr add "$address/128" dev lo nodad ;;
      *) ip netns exec "$outside" ip addr add "$address/32" dev lo ;;
    esac
  done
}
wan_up() {
  local side
  run ip link add wan type veth peer name far netns "$outside"
  for side in "$name wan 1 2" "$outside far 2 1"; do
    # shellcheck disable=SC2086
    set -- $side
    ip netns exec "$1" ip link set "$2" up
    ip netns exec "$1" ip addr add "198.51.100.$3/24" dev "$2"
    ip netns exec "$1" ip -6 addr add "2001:db8:1::$3/64" dev "$2" nodad
    ip netns exec "$1" ip route add default via "198.51.100.$4" dev "$2"
    ip netns exec "$1" ip -6 route add default via "2001:db8:1::$4" dev "$2"
  done
}

socket_of() {
  case $1 in
    policyd) echo "$sockets/policy.sock" ;;
    milter) echo "$sockets/milter.sock" ;;
    probed) echo "$work/admin.sock" ;;
  esac
}
surface_of() { case $1 in policyd) echo policy ;; milter) echo milter ;; probed) echo admin ;; esac; }
answers() { "$tester" once "$(surface_of "$1")" "$(socket_of "$1")" >/dev/null; }

in_namespace=(ip netns exec "$name")
# start_daemons NAME...: sets pid_NAME.
start_daemons() {
  local daemon
  for daemon; do
    "${in_namespace[@]}" "${!daemon}" -c "$work/postfathom.toml" >>"$work/$daemon.log" 2>&1 &
    printf -v "pid_$daemon" %s $!
    pids+=($!)
  done
  for daemon; do until_true 30 "$daemon answers" answers "$daemon"; done
}
ask_admin() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "$@"; }

sent=0 batch=0
# send_mail COUNT [SESSIONS]: so many messages to each server, to a domain that is new each time; no recipient twice.
send_mail() {
  batch=$((batch + 1))
  # In a shell of its own: one that has begun thousands of programs takes a process id that comes again for an old one of
  # its own, and waits for ever.
  (
    source=()
    for i in $(seq "$domains"); do
      run timeout 120 smtp-source -N -f me@example.net -t "u@b$batch.d$i.example.org" -m "$1" -s "${2:-1}" -l 600 \
        127.0.0.1:2500 >>"$work/source.out" 2>&1 &
      source+=($!)
    done
    for pid in "${source[@]}"; do wait "$pid" || exit 1; done
  ) || fail "Postfix did not take a message: $(tail -n 3 "$work/source.out")"
  sent=$((sent + domains * $1))
}
arrived() { grep -s '^X-Rcpt-Args:' "$sink" | sort -u | wc -l; }
all_arrived() { [ "$(arrived)" -eq "$sent" ]; }
