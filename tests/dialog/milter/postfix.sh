#!/usr/bin/env bash
# A Postfix of its own, in a network namespace of its own, asks the milter: what is in the queue afterwards,
# what the prober was told, and that mail is taken when the milter is out of memory, hangs or is gone.
#   postfix.sh POSTFATHOM-MILTER MILTER_TOOL NO_MEMORY|none
# none where a sanitizer's allocator, which nothing can take the place of, is in the program.
if [ "${4-}" != inside ]; then
  [ "$(id -u)" -eq 0 ] || { echo "skipped: Postfix starts as root only"; exit 77; }
  for program in postfix smtp-source openssl unshare ip; do
    command -v $program >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
  done
  unshare --net true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
  exec unshare --net "$0" "$1" "$2" "$3" inside
fi
tools=$(dirname "$(readlink -f "$0")")/../../tools
. "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source=tests/tools/quick_start.bash
. "$tools/quick_start.bash"
stop_all() {
  postfix -c "$work/etc" stop >/dev/null 2>&1 || true
  finish
}
trap stop_all EXIT
ip link set lo up
ip address add 192.0.2.10/32 dev lo

# Postfix. Mail stays in the queue: its transports are deferred.
queue=$work/queue
mkdir -p "$work/etc" "$queue/run/postfathom" "$work/data"
chown postfix "$work/data"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
  -keyout "$work/etc/key.pem" -out "$work/etc/cert.pem" 2>/dev/null
cat "$work/etc/key.pem" "$work/etc/cert.pem" >"$work/etc/chain.pem"
write_config "$queue/run/postfathom/milter.sock"
"$tool" fill "$work/cache" ill.example.org '[mx1.example.net]' '[mx2.example.net]:2525' '[mx3.example.net]' \
  '[mx4.example.net]' '[mx5.example.net]'
start_notices
start_milter
pasted=$(sed -n 's/.*for main.cf: //p' "$work/milter.log" | head -n 1)

cat >"$work/etc/transport" <<MAP
example.org smtp:ILL.Example.org
relayed.example.org relay:[MX1.example.net]:25
two.example.org relay:[mx2.example.net]:2525
three.example.org relay:[mx3.example.net] [mx4.example.net]
five.example.org relay:[mx5.example.net]
healthy.example.org smtp:
MAP
cat >"$work/etc/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $queue
data_directory = $work/data
myhostname = relay.example.net
mydestination = here.example.net
mynetworks = 127.0.0.0/8, 192.0.2.10
inet_interfaces = 127.0.0.1, 192.0.2.10
inet_protocols = ipv4
maillog_file = $work/mail.log
maillog_file_prefixes = $work
local_recipient_maps =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
transport_maps = texthash:$work/etc/transport
defer_transports = smtp relay local
smtpd_tls_security_level = may
smtpd_tls_chain_files = $work/etc/chain.pem
$pasted
non_smtpd_milters = unix:run/postfathom/milter.sock
CONF
{
  echo '2525 inet n - n - - smtpd'
  cat "$tools/master.cf"
} >"$work/etc/master.cf"
quick_start "$queue"
postfix -c "$work/etc" start >"$work/start.log" 2>&1 || { cat "$work/start.log"; exit 1; }
greets() { (exec 3<>/dev/tcp/127.0.0.1/2525 && read -r -t 5 line <&3 && [[ $line == 220* ]]) 2>/dev/null; }
poll 60 greets || { echo "Postfix does not answer"; cat "$work/mail.log"; exit 1; }

take_from_queue() {  # sets headers and body of the message with this Subject, once it rests in the queue
  local id
  for id in $(postqueue -c "$work/etc" -j |
    sed -n 's/^{"queue_name": "deferred", "queue_id": "\([0-9A-Za-z]*\)".*/\1/p'); do
    if postcat -c "$work/etc" -hq "$id" 2>/dev/null | grep -qx "Subject: $1"; then
      postcat -c "$work/etc" -hq "$id" >"$work/headers" && postcat -c "$work/etc" -bq "$id" >"$work/body"
      return
    fi
  done
  return 1
}
send() {  # send SUBJECT RECIPIENT [HEADER...]
  local subject=$1 recipient=$2; shift 2
  {
    echo "From: me@example.net"
    echo "To: $recipient"
    for header in "$@"; do printf '%b\n' "$header"; done
    printf 'Subject: %s\n\nX-Postfathom-Diagnosis: this is the body\n' "$subject"
  } >"$work/message"
  smtp-source -4 -F "$work/message" -f me@example.net -t "$recipient" 127.0.0.1:2525 || return 1
  poll 60 take_from_queue "$subject"
}
tags() { grep -ciE '^X-Postfathom-Diagnosis[[:blank:]]*:' "$work/headers" || true; }
unfolded() { sed -e ':a' -e '$!N' -e 's/\n[[:blank:]]\+/ /' -e 'ta' -e 'P' -e 'D' "$work/headers"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

forged=('X-Postfathom-Diagnosis: relay.example.net; next-hop=ill.example.org; diagnosis=healthy'
  'X-First: stays' 'x-postfathom-DIAGNOSIS: forged' 'X-Postfathom-Diagnosis : blank before the colon'
  'X-Postfathom-Diagnosis:\n\tfolded; diagnosis=healthy' 'X-Second: stays' 'X-Postfathom-Diagnosis:')

check "a message with forged headers to an ill next hop is taken" \
  send ill you@example.org "${forged[@]}"
check "it has one header" test "$(tags)" -eq 1
check "which is the topmost" bash -c 'head -n 1 "$1" | grep -q "^X-Postfathom-Diagnosis: relay.example.net; "' _ "$work/headers"
check "and tells next hop, finding and sizes" bash -c 'grep -qE "^X-Postfathom-Diagnosis: relay\.example\.net; next-hop=ill\.example\.org; diagnosis=pmtu-black-hole; direction=inbound; path-mtu=1400; mss=1360; since=20[0-9-]+T[0-9:]+Z$"' < <(unfolded)
check "other headers stay as they were and where they were" \
  test "$(unfolded | grep -vE '^(X-Postfathom|Received|Message-Id|Date)' | tr '\n' '|')" = \
  "From: me@example.net|To: you@example.org|X-First: stays|X-Second: stays|Subject: ill|"
check "the body stays" grep -qx 'X-Postfathom-Diagnosis: this is the body' "$work/body"
check "the route is sent to the prober, in Postfix's spelling" \
  poll 60 grep -qxF 'route-learned example.org ill.example.org ILL.Example.org smtp' "$work/notices"

check "a message to a next hop that is not ill is taken" send healthy you@healthy.example.org "${forged[@]}"
check "and has no forged header left" test "$(tags)" -eq 0
check "and its next hop is asked for" \
  poll 60 grep -qxF 'verdict-wanted healthy.example.org' "$work/notices"

check "a message without forged headers is taken" send plain you@relayed.example.org
check "and tagged for a relay in brackets" grep -q 'next-hop=\[mx1.example.net\];' "$work/headers"
check "whose port 25 is left out of the key only" \
  poll 60 grep -qxF 'route-learned relayed.example.org [mx1.example.net] [MX1.example.net]:25 relay' "$work/notices"

check "mail for this host is taken" send local you@here.example.net "${forged[@]}"
check "and loses forged headers, too" test "$(tags)" -eq 0
check "but teaches no route" bash -c '! grep -q here.example.net "$1"' _ "$work/notices"

# One session: STARTTLS and a second EHLO, a message given up, and two messages.
{
  printf 'EHLO client.example.net\r\n'
  printf 'MAIL FROM:<me@example.net>\r\nRCPT TO:<you@example.org>\r\nRSET\r\n'
  printf 'MAIL FROM:<me@example.net>\r\nRCPT TO:<you@healthy.example.org>\r\nDATA\r\n'
  printf 'Subject: after RSET\r\n\r\nhello\r\n.\r\n'
  printf 'MAIL FROM:<me@example.net>\r\n'
  for domain in relayed two three five; do printf 'RCPT TO:<you@%s.example.org>\r\n' $domain; done
  printf 'DATA\r\nSubject: many\r\nX-Postfathom-Diagnosis: forged\r\n\r\nhello\r\n.\r\nQUIT\r\n'
} | timeout 30 openssl s_client -quiet -starttls smtp -connect 127.0.0.1:2525 >"$work/session" 2>&1 || true
check "both messages of a TLS session are taken" test "$(grep -c '^250 2.0.0 Ok: queued' "$work/session")" -eq 2
check "the first is in the queue" poll 60 take_from_queue "after RSET"
check "a recipient given up by RSET tags nothing" test "$(tags)" -eq 0
check "and the second" poll 60 take_from_queue many
check "five ill next hops get four headers" test "$(tags)" -eq 4
check "in the order of the recipients" \
  test "$(unfolded | sed -n 's/.*next-hop=\([^;]*\);.*/\1/p' | tr '\n' ' ')" = \
  "[mx1.example.net] [mx2.example.net]:2525 [mx3.example.net] [mx4.example.net] "

# Far more copies than anybody needs: bounded work, and ours is on top of what is left.
mapfile -t flood < <(for ((i = 0; i < 1200; i++)); do echo "X-Postfathom-Diagnosis: forged $i"; done)
begun=$(milliseconds)
check "a message of 1200 forged headers is taken" send flood you@example.org "${flood[@]}"
echo "   in $(($(milliseconds) - begun)) ms"
check "1000 are removed" test "$(tags)" -eq 201
check "and ours is the topmost" bash -c 'head -n 1 "$1" | grep -q "^X-Postfathom-Diagnosis: relay.example.net; "' _ "$work/headers"

# Clients of another address than loopback, with TLS (after the second EHLO) and without.
{
  printf 'EHLO client.example.net\r\n'
  for subject in first second; do
    printf 'MAIL FROM:<me@example.net>\r\nRCPT TO:<you@healthy.example.org>\r\nDATA\r\n'
    printf 'Subject: %s over TLS\r\n\r\nhello\r\n.\r\n' $subject
  done
  printf 'QUIT\r\n'
} | timeout 30 openssl s_client -quiet -starttls smtp -tls1_2 -connect 192.0.2.10:2525 >"$work/session" 2>&1 || true
check "mail of a client with TLS is taken" test "$(grep -c '^250 2.0.0 Ok: queued' "$work/session")" -eq 2
check "its session is told once, with version and cipher" \
  poll 60 grep -qE '^clients-seen 192\.0\.2\.0/24 tls=1 plain=0 TLSv1\.2 [A-Z0-9_-]+ [0-9]+$' "$work/notices"
smtp-source -4 -s 1 -m 2 -d -f me@example.net -t you@healthy.example.org 192.0.2.10:2525
check "and one without TLS" poll 60 grep -q '^clients-seen 192.0.2.0/24 tls=0 plain=1$' "$work/notices"
check "programs of this host are no clients" bash -c '! grep -q "^clients-seen 127" "$1"' _ "$work/notices"

# Submitted here: cleanup(8) asks, and knows no next hop.
write_config "$queue/run/postfathom/milter.sock" defer '[defer]
diagnoses = ["pmtu-black-hole"]
next_hops = ["ill.example.org"]
[[route]]
domain = "example.org"
next_hop = "ill.example.org"'
check "SIGHUP is obeyed" read_again
printf 'Subject: submitted\nX-Postfathom-Diagnosis: forged\n\nhello\n' >"$work/submitted"
sendmail -C "$work/etc" -f me@example.net you@example.org <"$work/submitted"
check "a message that was submitted here is never refused" poll 60 take_from_queue submitted
check "and has one header" test "$(tags)" -eq 1

# Recipients that have to wait, beside one that does not.
exec {smtp}<>/dev/tcp/127.0.0.1/2525
say() { printf '%s\r\n' "$1" >&"$smtp"; }
hear() { local line; IFS= read -r -t 20 line <&"$smtp" && [[ $line == "$1"* ]]; }
check "greeting in mode defer" hear 220
for line in "HELO client.example.net" "MAIL FROM:<me@example.net>"; do say "$line"; check "$line" hear 250; done
say "RCPT TO:<you@example.org>"
check "a recipient that is named has to wait" \
  hear "451 4.4.2 mail for example.org has to wait (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)"
say "RCPT TO:<you@relayed.example.org>"
check "one that is not named does not" hear 250
say DATA; check DATA hear 354
printf 'Subject: partly\r\n\r\nhello\r\n.\r\nQUIT\r\n' >&"$smtp"
check "and the message is taken" hear 250
exec {smtp}>&-
check "it is in the queue" poll 60 take_from_queue partly
check "with one header" test "$(tags)" -eq 1
check "of the recipient that it has" grep -q 'next-hop=\[mx1.example.net\];' "$work/headers"

# Messages stay as they are.
write_config "$queue/run/postfathom/milter.sock" warn
check "SIGHUP is obeyed again" read_again
check "a message in mode warn is taken" send warned you@example.org "${forged[@]}"
check "and left as it is" test "$(tags)" -eq 5
check "and warned of" grep -qE 'warning: [0-9A-Za-z]+: its mail goes to ill.example.org: pmtu-black-hole' "$work/milter.log"
write_config "$queue/run/postfathom/milter.sock"
check "and back" read_again

# Whichever allocation of a message's conversation fails. Confined, it may not read and remove the file.
if [ "$3" != none ]; then
  export RUN_UNDER="env LD_PRELOAD=$3 NO_MEMORY=$work/cache/no-memory"
  check "the milter ends" stop_milter
  write_config "$queue/run/postfathom/milter.sock"
  start_milter
  fails_at() {  # fails_at N: status 1 where the conversation has no N allocations
    rm -f "$work/cache/no-memory.failed"
    echo "$1" >"$work/number" && mv "$work/number" "$work/cache/no-memory"
    smtp-source -4 -f me@example.net -t you@example.org 127.0.0.1:2525 || { check "a message is taken when allocation $1 fails" false; return 1; }
    [ -e "$work/cache/no-memory.failed" ]
  }
  allocation=1
  while [ "$allocation" -le 300 ] && fails_at "$allocation"; do allocation=$((allocation + 1)); done
  # The next message is found among few.
  postsuper -c "$work/etc" -d ALL 2>/dev/null
  echo 0 >"$work/number" && mv "$work/number" "$work/cache/no-memory"
  check "a message is taken whichever of its allocations fails ($((allocation - 1)) of them)" test "$allocation" -gt 10
  check "which the milter says once" test "$(grep -c 'mail goes on without us, and this is not logged again' "$work/milter.log")" -eq 1
  check "and has the same process afterwards" kill -0 "$milter_pid"
  # Where opening the cache failed it is tried again after a second.
  tagged_again() { send "remembered $RANDOM" you@example.org && [ "$(tags)" -eq 1 ]; }
  check "a message is tagged when there is memory again" poll 20 tagged_again
  check "the milter ends again" stop_milter
  unset RUN_UNDER
  write_config "$queue/run/postfathom/milter.sock"
  start_milter
fi

check "Postfix found no fault with the milter" \
  bash -c '! grep -E "(warning|error|fatal|panic):" "$1"' _ "$work/mail.log"

# Hanging: Postfix waits for command_timeout, then goes on without.
kill -STOP "$milter_pid"
begun=$(milliseconds)
check "mail is taken while the milter hangs" send hanging you@example.org
elapsed=$(($(milliseconds) - begun))
check "within the time-outs of main.cf (took $elapsed ms)" test "$elapsed" -lt 12000
check "without a header" test "$(tags)" -eq 0
kill -CONT "$milter_pid"
# Hanging in the middle of a message: the reply to its end never comes.
kill -CONT "$milter_pid"
exec {smtp}<>/dev/tcp/127.0.0.1/2525
check "greeting" hear 220
for line in "HELO client.example.net" "MAIL FROM:<me@example.net>" "RCPT TO:<you@example.org>"; do
  say "$line"; check "$line" hear 250
done
say DATA; check DATA hear 354
kill -STOP "$milter_pid"
begun=$(milliseconds)
printf 'Subject: middle\r\n\r\nhello\r\n.\r\n' >&"$smtp"
check "mail is taken when the milter hangs in the middle of it" hear 250
elapsed=$(($(milliseconds) - begun))
check "within the time-outs of main.cf (took $elapsed ms)" test "$elapsed" -lt 12000
exec {smtp}>&-
kill -CONT "$milter_pid"
begun=$(milliseconds)
check "mail is tagged again when it goes on" send again you@example.org
with_it=$(($(milliseconds) - begun))
check "with one header" test "$(tags)" -eq 1

check "the milter ends well" stop_milter
check "and leaves no socket" test ! -e "$socket"
begun=$(milliseconds)
check "mail is taken while there is no milter" send gone you@example.org
elapsed=$(($(milliseconds) - begun))
# Whatever else this machine does: beside a message with the milter. Waiting for one would take 3 s (connect_timeout) and more.
check "at once (took $elapsed ms, $with_it ms with it)" test "$elapsed" -lt $((2 * with_it + 3000))
check "without a header" test "$(tags)" -eq 0
start_milter
check "mail is tagged when it is back" send back you@example.org
check "with one header" test "$(tags)" -eq 1

[ "$failures" -eq 0 ] || { echo "--- Postfix's log"; tail -n 40 "$work/mail.log"; }
report
