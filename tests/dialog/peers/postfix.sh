#!/usr/bin/env bash
# postfix.sh POSTFATHOM: Postfix's smtp, submission and smtps, on both families.
set -euo pipefail
program=$1 peers= fake_mx=
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "$0")")/common.sh"
command -v postfix >/dev/null || { echo "skipped: postfix is not installed"; exit 77; }

make_links
set_path 1500
make_certificates
tools=$(dirname "$(readlink -f "$0")")/../../tools
# shellcheck source=tests/tools/quick_start.bash
. "$tools/quick_start.bash"
conf=$work/conf log=/var/tmp/postfathom-peer-$$.log  # maillog_file_prefixes has /var
in_namespace() { ip netns exec "$server" "$@"; }
stop_postfix() {
  in_namespace postfix -c "$conf" stop >/dev/null 2>&1 || true
  [ ! -e "$log" ] || mv "$log" "$work/mail.log"
}
trap 'stop_postfix; cleanup' EXIT
mkdir -p "$conf" "$work/queue" "$work/data"
chmod 755 "$work"
chown postfix "$work/data"
cat >"$conf/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $work/queue
data_directory = $work/data
maillog_file = $log
myhostname = mail.example.org
mydestination =
inet_protocols = all
smtpd_tls_security_level = may
smtpd_tls_chain_files = $work/leaf.key, $work/chain.pem
smtpd_tls_loglevel = 1
smtpd_relay_restrictions = reject
smtpd_peername_lookup = no
alias_maps =
alias_database =
CONF
cat - "$tools/master.cf" >"$conf/master.cf" <<'CONF'
25        inet  n - n - - smtpd
587       inet  n - n - - smtpd -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
465       inet  n - n - - smtpd -o syslog_name=postfix/smtps -o smtpd_tls_wrappermode=yes
CONF
quick_start "$work/queue"
in_namespace postfix -c "$conf" start >"$work/postfix.out" 2>&1 || fail "Postfix does not start"
listening 25 587 465

reports=()
for service in smtp submission smtps; do
  for address in '[198.51.100.2]' '[2001:db8:2::2]'; do
    reports+=("$work/$service${#reports[@]}")
    probe "${reports[-1]}" "$address" --service "$service" --name mail.example.org
    healthy "${reports[-1]}" "$service"
    holds "${reports[-1]}" "$service" '.endpoints[0].handshake.resumes == true'
  done
done
starttls=$(connections "$work"/smtp[0-9] "$work"/submission[0-9]) implicit=$(connections "$work"/smtps[0-9])
left() { lines ' disconnect from ' "$log"; }
all_left() { [ "$(left)" -ge $((starttls + implicit)) ]; }
until_true 20 "$((starttls + implicit)) connections ended" all_left
[ "$(lines 'disconnect from .* ehlo=2 starttls=1 quit=1 commands=4$' "$log")" -eq "$starttls" ] || fail "not each said EHLO, STARTTLS, EHLO, QUIT"
[ "$(lines 'disconnect from .* ehlo=1 quit=1 commands=2$' "$log")" -eq "$implicit" ] || fail "not each said EHLO, QUIT"
faults=$(grep -E 'lost connection|timeout|error|warning|improper|fatal' "$log" | grep -v 'hostname .* does not resolve' || true)
[ -z "$faults" ] || fail "Postfix complains: $faults"
echo "Postfix: $starttls connections with STARTTLS and $implicit with implicit TLS, each ended with QUIT"
