#!/usr/bin/env bash
# Fifty smtp(8) processes of a real Postfix fail to deliver to ten servers at once, DEFERRALS (5000) times, and ask
# postfathom-policyd for the texts. Each server has a path MTU of its own in the cache, so that a tag that belongs to
# another destination is seen. No tag may be wrong; how many deferrals have one is printed.
#   postfix_load.sh POLICYD TROUBLE-SERVER FILL-CACHE [postlog|syslog|rotated]
# syslog: the log has RFC 3339 stamps, written by another process; rotated: the log is moved away in the middle.
set -euo pipefail
policyd=$1 trouble_server=$2 fill_cache=$3 form=${4:-postlog}
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"

readonly destinations=10 recipients=10
deferrals=${DEFERRALS:-5000}
# After a reload the recipients that were not tried yet wait as long as the others of their message.
pause=3600s
[ "$form" != rotated ] || pause=5s
namespace_up
arguments=() verdicts=()
echo '127.0.0.1 localhost' >"/etc/netns/$name/hosts"
for i in $(seq "$destinations"); do
  run ip addr add "192.0.2.$i/32" dev lo
  echo "192.0.2.$i d$i.example.org" >>"/etc/netns/$name/hosts"
  # Three ways to fail, whose times differ.
  troubles=(reset-in-handshake close-in-handshake garbage-in-handshake)
  arguments+=("192.0.2.$i:25=${troubles[i % 3]}")
  verdicts+=("d$i.example.org[192.0.2.$i]:25=pmtu-black-hole/$((1400 + i))")
done
{
  main_cf
  cat <<CONF
smtp_tls_security_level = encrypt
default_process_limit = 100
default_destination_concurrency_limit = 50
default_destination_concurrency_failed_cohort_limit = 100000
initial_destination_concurrency = 20
default_destination_recipient_limit = 1
smtpd_recipient_limit = 1000
smtpd_client_connection_count_limit = 0
smtp_connect_timeout = 10s
minimal_backoff_time = $pause
maximal_backoff_time = $pause
queue_run_delay = $pause
in_flow_delay = 0
CONF
} >"$conf/main.cf"
{
  echo '127.0.0.1:2500 inet n - n - - smtpd'
  cat "$tools/master.cf"
} >"$conf/master.cf"
postconf -c "$conf" -F smtp/unix/process_limit=50
followed=$log
[ "$form" != syslog ] || followed=$work/syslog
policyd_toml "$followed" >"$work/postfathom.toml"
"$fill_cache" "$work/cache" "${verdicts[@]}"
start_trouble "${arguments[@]}"
start_postfix

writer_pid=
if [ "$form" = syslog ]; then
  # As rsyslog would: another process, a little later, in its own form.
  : >"$followed"
  (exec tail -n +1 -F "$log" 2>/dev/null) | sed -u 's/^Nov \([ 0-9]*\) \([0-9:]*\) /2026-11-\1T\2.000000+00:00 /' >>"$followed" &
  writer_pid=$!
fi
start_policyd

sources=()
for i in $(seq "$destinations"); do
  run smtp-source -c -f me@example.net -t "u@d$i.example.org" -m $((deferrals / destinations / recipients)) -r "$recipients" \
    -s 4 127.0.0.1:2500 >/dev/null 2>&1 &
  sources+=($!)
done
all_logs() { [ ! -e "$log.1" ] || cat "$log.1"; [ ! -e "$log" ] || cat "$log"; }
logged() { all_logs | sed -n 's/.*: \([0-9A-F]*: to=<[^>]*>\).*status=deferred.*/\1/p' | sort -u | wc -l; }
reached() { [ "$(logged)" -ge "$1" ]; }
for pid in "${sources[@]}"; do wait "$pid" || { echo "FAILED: smtp-source could not hand its mail in"; exit 1; }; done
if [ "$form" = rotated ]; then
  until_true 120 "the first deferrals" reached $((deferrals / 4))
  mv "$log" "$log.1"
  # postlogd(8) opens its file anew for a reload, as `postfix logrotate` has it.
  run postfix -c "$conf" reload >/dev/null 2>&1
fi
# While postlogd(8) is started anew some lines are lost.
enough=$deferrals
[ "$form" != rotated ] || enough=$((deferrals * 8 / 10))
until_true 300 "$enough deferrals" reached "$enough"
[ -z "$writer_pid" ] || pkill -P "$$" -x tail || true

# What each destination's text may be: without a tag, or with its own.
all_logs | sed -n 's/.*to=<[^@]*@d\([0-9]*\)\.example\.org>.*status=deferred (\(.*\))$/\1 \2/p' >"$work/texts"
[ "$(wc -l <"$work/texts")" -ge "$enough" ] || { echo "FAILED: $(wc -l <"$work/texts") texts"; exit 1; }
awk -v destinations="$destinations" '
  {
    text = substr($0, length($1) + 2)
    mtu = 1400 + $1
    own = sprintf("Cannot start TLS: handshake failure (path: pmtu-black-hole inbound, path MTU %d, MSS %d works)", mtu, mtu - 40)
    if (text == own) tagged++
    else if (text ~ /path:/) { wrong++; if (wrong <= 5) print "WRONG: d" $1 ": " text }
    else if (text == "Cannot start TLS: handshake failure") plain++
    else { other++; if (other <= 5) print "other: d" $1 ": " text }
    seen[$1] = 1
  }
  END {
    printf "%d deferrals to %d destinations: %d tagged (%.1f %%), %d left as they were, %d with another text, %d wrong\n",
      NR, length(seen), tagged, 100 * tagged / NR, plain, other, wrong
    # A join that finds nothing would never be wrong.
    exit !(wrong == 0 && other == 0 && tagged > NR / 20 && length(seen) == destinations)
  }' "$work/texts"
