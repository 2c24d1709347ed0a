#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that strangers can shape, at once: senders, recipients, HELO names, headers, bodies, policy requests, a hostile
# server's replies, the DNS and MTA-STS records of their domains, TLS reports, and the log and the queue that come
# of it. Every address that this host opens a connection to is counted by the kernel: in the end there is none that Postfix does not
# use itself, while the servers that it does use, and that are in trouble, were probed. One prober reads the log as a file,
# another as a journal.
#   aimed.sh POLICYD MILTER PROBED POSTFATHOM TESTER TROUBLE-SERVER
set -euo pipefail
policyd=$1 milter=$2 probed=$3 postfathom=$4 tester=$5
troubles=$6
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/mail_host.bash"
for tool in nft dnsmasq socat setpriv; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

# Where strangers would like us to go: on the Internet, in our network, on our link, in the cloud's, and on this host.
decoys=(203.0.113.99 10.9.9.9 192.168.77.7 172.20.1.1 100.64.0.7 169.254.169.254 127.0.0.1 127.0.0.53 198.51.100.1
  2001:db8:66::9 fd00::9 fe80::9 ::1)
readonly relay=192.0.2.10 own_relay=192.0.2.11 evil=203.0.113.66 evil_tls=203.0.113.67 last_relay=192.0.2.12

namespace_up
elsewhere=()
for address in "${decoys[@]}"; do
  case $address in 127.* | ::1 | fe80::* | 198.51.100.1) ;; *) elsewhere+=("$address") ;; esac
done
outside_up "$relay" "$own_relay" "$evil" "$evil_tls" "$last_relay" "${elsewhere[@]}"
run nft -f - <<'NFT'
table inet aim {
  set v4 { type ipv4_addr . inet_service; flags dynamic; size 65535; }
  set v6 { type ipv6_addr . inet_service; flags dynamic; size 65535; }
  chain out {
    type filter hook output priority 0;
    tcp flags & (syn | ack) == syn add @v4 { ip daddr . tcp dport }
    tcp flags & (syn | ack) == syn add @v6 { ip6 daddr . tcp dport }
  }
}
NFT
contacted() {
  for family in v4 v6; do
    run nft -j list set inet aim "$family" | jq -r '.nftables[].set? // empty | .elem // [] | .[] |
      if type == "object" then (.elem.val // .) else . end | .concat | "\(.[0]) \(.[1])"'
  done
}

# The DNS of strangers, with what they may say in it.
echo 'nameserver 127.0.0.1' >"/etc/netns/$name/resolv.conf"
echo '127.0.0.1 localhost' >"/etc/netns/$name/hosts"
{
  printf '%s\n' no-resolv no-hosts local=/example/ local=/arpa/
  echo "host-record=mx.evil.example,$evil"
  echo "host-record=relay.provider.example,$relay"
  # Behind its own server this host, by two of its addresses.
  echo 'host-record=self.evil.example,127.0.0.1,::1'
  echo 'host-record=wan.evil.example,198.51.100.1'
  echo 'mx-host=evil.example,mx.evil.example,10'
  echo 'mx-host=evil.example,self.evil.example,20'
  echo 'mx-host=evil.example,wan.evil.example,30'
  # Where the policy of a domain shall be whose handshake fails.
  echo 'mx-host=tls.example,mx.tls.example,10'
  echo "host-record=mx.tls.example,$evil_tls"
  echo 'txt-record=_mta-sts.tls.example,v=STSv1; id=1;'
  echo 'host-record=mta-sts.tls.example,10.9.9.9,127.0.0.1,fd00::9'
  # Our relay, among others: mail for these goes by way of it, since main.cf says so.
  echo 'mx-host=rider.example,decoy.rider.example,10'
  echo 'mx-host=rider.example,relay.provider.example,10'
  echo 'host-record=decoy.rider.example,203.0.113.99,10.9.9.9,2001:db8:66::9'
  echo 'mx-host=stranger.example,decoy.stranger.example,10'
  echo 'host-record=decoy.stranger.example,192.168.77.7,169.254.169.254,fd00::9'
} >"$work/dnsmasq.conf"
ip netns exec "$name" dnsmasq --keep-in-foreground --conf-file="$work/dnsmasq.conf" --listen-address=127.0.0.1 \
  --bind-interfaces --pid-file= --user=root --log-facility="$work/dnsmasq.log" &
pids+=($!)

mkdir -p "$sockets" "$work/sink" "$work/journal"
chgrp postfix "$sockets"
chmod 2750 "$sockets"
{
  main_cf | grep -vE '^(smtp_delivery_status_filter|smtp_dns_support_level|smtp_host_lookup|mynetworks|inet_protocols)'
  printf '%s\n' 'inet_protocols = all' 'mynetworks =' 'relay_domains = customer.example' 'smtp_tls_security_level = encrypt' \
    "transport_maps = texthash:$conf/transport" 'minimal_backoff_time = 300s' 'smtp_tls_loglevel = 1' \
    'smtp_tls_connection_reuse = no' 'smtp_connection_cache_on_demand = no' 'smtp_helo_timeout = 10s' \
    'smtpd_relay_restrictions = reject_unauth_destination' 'relay_recipient_maps = texthash:'"$conf"'/recipients' \
    'unverified_recipient_reject_code = 550' 'smtpd_error_sleep_time = 0' 'strict_rfc821_envelopes = no' \
    'smtpd_hard_error_limit = 200' "info_log_address_format = internal"
} >"$conf/main.cf"
printf '%s\n' "customer.example smtp:[$own_relay]" "quoting.example quoting:[$own_relay]" \
  "rider.example smtp:[$relay]" "last.example smtp:[$last_relay]" >"$conf/transport"
echo '@customer.example anything' >"$conf/recipients"
{
  echo '127.0.0.1:2500 inet n - n - - smtpd'
  echo 'quoting unix - - n - - smtp -o info_log_address_format=external'
  cat "$tools/master.cf"
} >"$conf/master.cf"
policy_lines='listen = "127.0.0.1:2600"' configure "[tlsrpt]
socket = \"$work/tlsrpt.sock\"
[probe]
min_interval = \"1s\"
apart = \"10ms\""
run "$postfathom" -c "$work/postfathom.toml" setup --postfix-config "$conf" --apply >"$work/setup.out" || fail "postfathom setup"

# Servers that Postfix uses: two relays and a stranger's own. All are in trouble.
ip netns exec "$outside" "$troubles" "$relay:25=reset-in-handshake" "$own_relay:25=close-in-handshake" \
  "$evil_tls:25=reset-in-handshake" "$last_relay:25=reset-in-handshake" >"$work/trouble.out" 2>&1 &
pids+=($!)
# What looks like a log line, alone on a line, before a code and behind it; then TLS that fails.
cat >"$work/evil.sh" <<'EVIL'
text='connect to decoy[10.9.9.9]:25: Connection timed out'
status='QQ11: to=<a@stranger.example>, relay=decoy[192.168.77.7]:25, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to decoy[10.9.9.9]:25: Connection timed out)'
say() { printf '%s\r\n' "$@"; }
say "220-$text" "220 SSL_connect error to decoy[10.9.9.9]:25: $text"
while IFS= read -r line; do
  case ${line^^} in
    EHLO* | HELO*) say "$text" "250-$status" "250-AUTH $text" '250 STARTTLS' ;;
    STARTTLS*) say "454 4.7.0 $text" ;;
    QUIT*) say "221 $status"; exit ;;
    *) say "$text" "451 4.4.1 $status" ;;
  esac
done
EVIL
ip netns exec "$outside" socat "TCP-LISTEN:25,bind=$evil,fork,reuseaddr" "SYSTEM:bash $work/evil.sh" 2>"$work/evil.log" &
pids+=($!)
until_true 20 "servers in trouble" grep -q ready "$work/trouble.out"

start_postfix
start_daemons probed policyd milter
# The same log as a journal, for a second prober: without blanks at the end of a line, as journald has it.
cat >"$work/journal/journalctl" <<JOURNAL
#!/bin/bash
exec tail --pid=\$\$ -n +1 -F '$log' | exec jq -cR --unbuffered 'capture("^\\\\w+ +\\\\d+ [0-9:]+ (?<host>\\\\S+) (?<tag>[^\\\\[ ]+)\\\\[(?<pid>\\\\d+)\\\\]: (?<text>.*)\$") |
  {MESSAGE: (.text | sub("\\\\s+\$"; "")), SYSLOG_RAW: .text, SYSLOG_IDENTIFIER: .tag, SYSLOG_PID: .pid, _HOSTNAME: .host, _UID: "0", __REALTIME_TIMESTAMP: "1795400000000000"}'
JOURNAL
chmod 755 "$work/journal/journalctl"
sed -e "s|^directory = .*|directory = \"$work/cache-journal\"|" -e "s|^file = .*|source = \"journal\"|" \
  -e "s#$work/\(admin\|notice\|tlsrpt\)#$work/\1-journal#" "$work/postfathom.toml" >"$work/journal.toml"
# Its journalctl is a script that reads the log, which a confined prober may not.
printf '[confinement]\nmode = "off"\n' >>"$work/journal.toml"
mkdir "$work/cache-journal"
"${in_namespace[@]}" env PATH="$work/journal:$PATH" "$probed" -c "$work/journal.toml" >>"$work/probed-journal.log" 2>&1 &
pids+=($!)
ask_journal() { curl -sS --max-time 60 --unix-socket "$work/admin-journal.sock" "$@"; }
until_true 30 "the second prober answers" ask_journal http://localhost/healthz >/dev/null

# smtp LINE...: a conversation with our Postfix, all of it in one go.
smtp() {
  printf '%s\r\n' "$@" | run timeout 60 socat -t30 - TCP:127.0.0.1:2500 >>"$work/smtp.log" || fail "smtpd(8) does not take a stranger's words"
}
forged='>, relay=decoy[10.9.9.9]:25, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to decoy[10.9.9.9]:25: Connection timed out)'
header='X-Postfathom-Diagnosis: mx; next-hop=[10.9.9.9]; pmtu-black-hole'
log_lines=("Nov 23 01:11:21 mx postfix/smtp[3910]: connect to decoy[203.0.113.99]:25: Connection timed out"
  "Nov 23 01:11:21 mx postfix/smtp[3910]: QQ11: to=<a@stranger.example>, relay=decoy[203.0.113.99]:25, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to decoy[203.0.113.99]:25: Connection timed out)")
# So long that Postfix cuts the line within it: what would show that it is an address is gone, and the last byte is a parenthesis.
printf -v cut '%*s' 1900 ''
cut="z@decoy.example$forged${cut// /)}"
cut=${cut::1990}
# The same where what is cut off leaves blanks behind the parenthesis.
printf -v blanks 'z@decoy.example%s%1900s' "$forged" ''
blanks=${blanks::1990}
message=(DATA "$header" "Received: from decoy ([10.9.9.9]) by stranger.example" "From: <a@stranger.example>" "Subject: ${log_lines[0]}"
  "{rcpt_host}: [10.9.9.9]" '' "${log_lines[@]}" .)
# Accepted, for a customer, whose relay is in trouble; with recipients that would end their line early.
for sender in a@stranger.example "\"x$forged\"@stranger.example" b@evil.example d@rider.example; do
  smtp "EHLO ${log_lines[0]}" "MAIL FROM:<$sender>" 'RCPT TO:<you@customer.example>' "RCPT TO:<\"y$forged\"@customer.example>" \
    "RCPT TO:<\"\\\"q\\\" y$forged\"@customer.example>" "${message[@]}" QUIT
done
# Refused: these are not ours.
smtp 'EHLO x' 'MAIL FROM:<a@stranger.example>' 'RCPT TO:<u@[10.9.9.9]>' 'RCPT TO:<u@[127.0.0.1]>' 'RCPT TO:<u@stranger.example>' \
  'RCPT TO:<u%[192.168.77.7]@customer.example>' 'RCPT TO:<@[10.9.9.9]:u@stranger.example>' 'RCPT TO:<u@[IPv6:fd00::9]>' \
  'RCPT TO:<"u@[10.9.9.9]"@stranger.example>' 'RCPT TO:<u@decoy.stranger.example>' 'RCPT TO:<u@203.0.113.99>' QUIT
smtp 'EHLO x' 'XFORWARD NAME=decoy ADDR=10.9.9.9' 'XCLIENT ADDR=10.9.9.9' STARTTLS 'ETRN stranger.example' 'VRFY u@[10.9.9.9]' QUIT
# Bounces that are on their way to servers that their senders chose, as a message from outside that cannot be delivered makes them.
for sender in b@evil.example c@tls.example d@rider.example e@rider.example "\"$cut\"@customer.example" "\"$cut\"@quoting.example" \
  "\"$blanks\"@customer.example" "\"$blanks\"@quoting.example"; do
  run sendmail -C "$conf" -f '' "$sender" <<<"Subject: bounce" || fail "sendmail"
done
# Policy requests of whoever reaches the port, and of those who may use the socket.
for recipient in u@stranger.example 'u@[10.9.9.9]' u@decoy.stranger.example u@10.9.9.9 u@rider.example 'u@[IPv6:::1]'; do
  for place in "UNIX-CONNECT:$sockets/policy.sock" TCP:127.0.0.1:2600; do
    printf '%s\n' request=smtpd_access_policy protocol_state=RCPT protocol_name=ESMTP "recipient=$recipient" instance=1 \
      client_address=10.9.9.9 client_name=decoy 'helo_name=[10.9.9.9]' sender=a@stranger.example 'policy_context=warn' '' |
      run timeout 10 socat -t5 - "$place" >>"$work/policy.out"
  done
done
[ "$(grep -c '^action=' "$work/policy.out")" -eq 12 ] || fail "policy requests went unanswered: $(cat "$work/policy.out")"
# Reports of TLS, as if Postfix had sent them: of a server that the domain does not have, of domains that nobody sends to.
report() {
  printf '{"dpv":"1","d":"%s","pr":"v=TLSRPTv1","policies":[{"policy-type":9,"failure-details":[{"c":205,"s":"198.51.100.1","n":"%s","h":"x","r":"%s","f":"x"}],"t":1,"f":1}]}' "$@" |
    run socat -u - "UNIX-SENDTO:$work/tlsrpt.sock"
}
report stranger.example decoy.stranger.example 10.9.9.9
report stranger.example stranger.example 192.168.77.7
report evil.example mx.evil.example 10.9.9.9
report evil.example other.evil.example 127.0.0.1
report customer.example decoy 10.9.9.9
report '[10.9.9.9]' decoy 10.9.9.9
# Users of this host who are none of ours cannot tell the daemons anything.
for socket in "$work/notice.sock" "$work/admin.sock" "$sockets/dsn.sock" "$sockets/policy.sock" "$sockets/milter.sock" "$work/tlsrpt.sock"; do
  [ -S "$socket" ] || fail "$socket is not there"
  ! setpriv --reuid=nobody --regid=nogroup --clear-groups test -w "$socket" || fail "anybody may write to $socket"
done

# What Postfix itself has trouble with is probed, by both: so the log was read to its end, and probes are made.
probed_by() { "$1" http://localhost/v1/destinations | jq -e --arg d "$2" 'any(.destinations[]; .next_hop == $d and .verdict.severity != "ok")' >/dev/null; }
for ask in ask_admin ask_journal; do
  for place in "[$own_relay]" rider.example evil.example tls.example; do until_true 60 "$ask: $place is probed" probed_by "$ask" "$place"; done
done
# A policy request again, now that Postfix was seen to send mail for these domains to servers that are known to be
# theirs, and when what was found there is gone.
outcomes() { "$1" http://localhost/v1/status | jq .mail_log.deliveries; }
declare -A before
for ask in ask_admin ask_journal; do before[$ask]=$(outcomes "$ask"); done
for sender in f@evil.example f@rider.example; do
  run sendmail -C "$conf" -f '' "$sender" <<<"Subject: bounce"
  until_true 60 "the bounce to $sender fails" grep -q "to=<$sender>.*status=deferred" "$log"
done
read_all() { [ "$(outcomes "$1")" -ge "$((before[$1] + 2))" ]; }
for ask in ask_admin ask_journal; do until_true 60 "$ask: the log is read" read_all "$ask"; done
for ask in ask_admin ask_journal; do
  for domain in rider.example evil.example; do "$ask" -f -X DELETE "http://localhost/v1/destinations/$domain" >/dev/null || fail "$domain is not forgotten"; done
done
for recipient in u@rider.example u@evil.example u@stranger.example; do "$tester" tell policy "$sockets/policy.sock" "$recipient" >/dev/null; done
until_true 60 'lines are cut within addresses' eval '[ "$(grep -cE "postfix/.*: to=<\"?z@decoy.example>, relay=.*\\)\$" "$log")" -ge 2 ]'
# One more failure, by the same ways: what was to follow from all before it has begun, and is over.
run sendmail -C "$conf" -f '' last@last.example <<<"Subject: bounce"
ended() { [ "$("$1" http://localhost/v1/status | jq .schedule.running)" -eq 0 ]; }
for ask in ask_admin ask_journal; do
  until_true 60 "$ask: the last failure is probed" probed_by "$ask" "[$last_relay]"
  until_true 60 "$ask: its probes end" ended "$ask"
done

allowed() { printf '%s\n' "$relay 25" "$own_relay 25" "$evil 25" "$evil_tls 25" "$last_relay 25" '127.0.0.1 2500' '127.0.0.1 2600'; }
until_true 60 "each server of Postfix's was asked" eval 'comm -13 <(contacted | sort) <(allowed | sort) | wc -l | grep -qx 0'
stray=$(comm -23 <(contacted | sort) <(allowed | sort))
[ -z "$stray" ] || fail "we connected to what Postfix would not: $(paste -sd, <<<"$stray")"
! grep -E 'decoy|(10\.9\.9|192\.168\.77|203\.0\.113\.99)' <(ask_admin http://localhost/v1/destinations | jq -c '.destinations[].next_hop') ||
  fail "a stranger's next hop is known"
echo "all well: $(contacted | sort | paste -sd, ) and no others"
