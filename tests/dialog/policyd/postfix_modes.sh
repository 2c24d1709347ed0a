#!/usr/bin/env bash
# A real Postfix in a network namespace of its own takes mail and asks postfathom-policyd, with one
# smtpd(8) for each mode, over the UNIX socket and over TCP, and without policyd.
set -euo pipefail
policyd=$1 fill_cache=$2
trouble_server=  # none here
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/private_postfix.sh"

namespace_up
echo '127.0.0.1 localhost' >"/etc/netns/$name/hosts"
{
  main_cf
  cat <<CONF
defer_transports = smtp
smtpd_delay_reject = yes
CONF
} >"$conf/main.cf"
# ADDRESS NAME-OF-RESTRICTIONS ENDPOINT CONTEXT
service() {
  run ip addr add "$1/32" dev lo
  echo "$1:25 inet n - n - - smtpd"
  echo "  -o { smtpd_${2}_restrictions = check_policy_service { $3, timeout=3s, try_limit=1, default_action=DUNNO${4:+, policy_context=$4} }, permit }"
  [ "$2" = recipient ] || echo "  -o smtpd_recipient_restrictions=permit"
}
{
  service 192.0.2.11 recipient unix:run/policy.sock observe
  service 192.0.2.12 recipient unix:run/policy.sock warn
  service 192.0.2.13 recipient unix:run/policy.sock tag
  service 192.0.2.14 recipient unix:run/policy.sock defer
  service 192.0.2.15 data unix:run/policy.sock tag
  service 192.0.2.16 recipient inet:127.0.0.1:10040
  service 192.0.2.17 end_of_data unix:run/policy.sock warn
  service 192.0.2.18 client unix:run/policy.sock warn
  cat "$tools/master.cf"
} >"$conf/master.cf"
{
  policyd_toml | sed 's/^\[policy\]$/&\nlisten = "127.0.0.1:10040"/'
  cat <<CONF
[defer]
diagnoses = ["pmtu-black-hole"]
next_hops = ["example.org", "ill.example.org"]
[[route]]
domain = "routed.example.com"
next_hop = "[relay.example.net]:587"
CONF
} >"$work/postfathom.toml"
"$fill_cache" "$work/cache" example.org=pmtu-black-hole ill.example.org=certificate-expired \
  other.example.org=pmtu-black-hole '[relay.example.net]:587=peer-stall' well.example.org=healthy

# It listens on the namespace's loopback too.
start_policyd() {
  ip netns exec "$name" "$policyd" -c "$work/postfathom.toml" >>"$work/policyd.log" 2>&1 &
  policyd_pid=$!
  until_true 10 "policyd listens" test -S "$queue/run/dsn.sock"
}
start_postfix
start_policyd

# Says the lines to ADDRESS, port 25, and prints the last line of each reply.
talk() {
  run timeout 60 bash -c '
    exec 3<>"/dev/tcp/$0/25"
    reply() {
      local line
      while IFS= read -r line <&3; do
        line=${line%$'"'\\r'"'}
        [[ $line == ???-* ]] || { printf "%s\n" "$line"; return; }
      done
    }
    reply
    for line; do printf "%b\r\n" "$line" >&3; reply; done' "$@"
}
message='Subject: test\r\n\r\ntext\r\n.'
# A message through ADDRESS to the recipients; the replies to RCPT and to the end go to `replies`.
send() {
  local address=$1 rcpt=()
  shift
  for to; do rcpt+=("RCPT TO:<$to>"); done
  replies=$(talk "$address" 'EHLO client.example.net' 'MAIL FROM:<me@example.net>' "${rcpt[@]}" DATA "$message" QUIT | tail -n +4)
}
want() {
  [[ $replies == *"$1"* ]] || { printf 'FAILED: %s: expected "%s" in:\n%s\n' "$2" "$1" "$replies"; exit 1; }
  echo "ok: $2"
}
headers() { # of the last message
  local id
  id=$(sed -n 's/.*queued as \([0-9A-F]*\).*/\1/p' <<<"$replies")
  run postcat -c "$conf" -hq "$id" | grep -c '^X-Postfathom-Diagnosis: ' || true
}
equal() { [ "$1" = "$2" ] || { echo "FAILED: $3: found \"$1\", expected \"$2\""; exit 1; }; echo "ok: $3"; }
warned() { grep -c "warn: .*$1" "$log" || true; }

brief='pmtu-black-hole inbound, path MTU 1400, MSS 1360 works'
send 192.0.2.11 you@example.org
want 'queued as' 'observe takes the mail'
equal "$(warned example.org) $(headers)" '0 0' 'observe says nothing to Postfix'
grep -qF "example.org: $brief" "$work/policyd.log" || { echo "FAILED: observe logs"; exit 1; }

send 192.0.2.12 you@example.org you@well.example.org you@routed.example.com
want 'queued as' 'warn takes the mail'
equal "$(warned "example.org: $brief; from=<me@example.net> to=<you@example.org>") $(headers)" '1 0' 'warn is a line in the log'
equal "$(warned 'relay.example.net.:587: peer-stall; from=<me@example.net> to=<you@routed.example.com>')" 1 'a configured route leads to its next hop'
equal "$(warned well.example.org)" 0 'nothing is said of what is well'

send 192.0.2.13 you@example.org me@example.org you@other.example.org
want 'queued as' 'tag takes the mail'
equal "$(headers)" 1 'three recipients, one header'
send 192.0.2.13 you@well.example.org
equal "$(headers)" 0 'no header for what is well'
send 192.0.2.15 you@example.org
equal "$(headers)" 1 'tag at DATA, for one recipient'
send 192.0.2.17 you@example.org
equal "$(warned "END-OF-MESSAGE.*example.org: $brief")" 1 'warn at the end of the message'
send 192.0.2.18 you@example.org
want 'queued as' 'a check among the client restrictions'

send 192.0.2.14 you@example.org you@other.example.org you@ill.example.org you@well.example.org
want "450 4.4.2 <you@example.org>: Recipient address rejected: mail for example.org has to wait (path: $brief)" 'defer keeps a recipient back for what is named'
equal "$(grep -c '^250 2.1.5' <<<"$replies")" 3 'defer keeps nobody else back'
want 'queued as' 'and the rest of the message goes'

send 192.0.2.16 you@other.example.org
want 'queued as' 'over TCP'
equal "$(warned "other.example.org: $brief; from=<me@example.net> to=<you@other.example.org> proto=ESMTP")" 2 'over TCP the answer is the same'

stop_policyd
for address in 192.0.2.12 192.0.2.14 192.0.2.16; do
  send "$address" you@example.org
  want 'queued as' "mail flows through $address while policyd is not there"
done
start_policyd
kill -STOP "$policyd_pid"
send 192.0.2.14 you@example.org
want 'queued as' 'mail flows while policyd does not answer'
kill -CONT "$policyd_pid"
echo passed
