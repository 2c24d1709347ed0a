#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# published.sh POSTFATHOM TROUBLE-SERVER ROOT: what domains publish about TLS (DANE, MTA-STS) raises what is suggested for a handshake
# that fails: a name server with signed zones, web servers with policies, a mail server that resets, in a namespace.
set -euo pipefail
program=$1 trouble_server=$2 root=$3
for path in program trouble_server root; do printf -v "$path" %s "$(readlink -f "${!path}")"; done
nsd=$root/build/name_server/usr/sbin/nsd
[ -x "$nsd" ] || nsd=$(PATH=$PATH:/usr/sbin command -v nsd) || { echo "skipped: nsd is not installed (contrib/install-dependencies test)"; exit 77; }
for tool in ip openssl jq ldns-keygen ldns-signzone; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for network namespaces"; exit 77; }

name=pfpub$$
work=$(mktemp -d)
started=()
cleanup() {
  local status=$? pid
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  [ "$status" -eq 0 ] || { echo "--- name server"; cat "$work/nsd.log"; } 2>/dev/null || true
  ip netns del "$name" 2>/dev/null || true
  ip netns del "$name-mx" 2>/dev/null || true
  rm -rf "$work" "/etc/netns/$name"
}
trap cleanup EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
run() { ip netns exec "$name" "$@"; }

# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../../poll.bash"
until_true() { poll "$1" "${@:3}" || fail "in time: $2"; }

mkdir -p "/etc/netns/$name"
echo 'nameserver 127.0.0.1' >"/etc/netns/$name/resolv.conf"
printf '127.0.0.1 localhost\n' >"/etc/netns/$name/hosts"
ip netns add "$name"
run ip link set lo up
# The mail server is another host: of this one's own servers other things are said.
ip netns add "$name-mx"
ip netns exec "$name-mx" ip link set lo up
run ip link add eth0 type veth peer name eth0 netns "$name-mx"
run ip link set eth0 up
run ip addr add 192.0.2.1/26 dev eth0
ip netns exec "$name-mx" ip link set eth0 up
ip netns exec "$name-mx" ip addr add 192.0.2.25/26 dev eth0
for last in 81 82 83 84 85; do run ip addr add "192.0.2.$last/32" dev lo; done

# --- zones: example.org is signed, example.net with a key that nobody trusts, example.com is not.
digest=$(printf '%064d' 5)
zone() {  # NAME
  printf '$ORIGIN %s.\n$TTL 300\n@ SOA ns.%s. hostmaster.%s. 1 3600 600 86400 300\n@ NS ns.%s.\nns A 127.0.0.1\n' "$1" "$1" "$1" "$1"
  printf 'mx1 A 192.0.2.25\nmx2 A 192.0.2.25\nplain A 192.0.2.25\n'
  printf '_25._tcp.mx1 TLSA 3 1 1 %s\n_25._tcp.mx2 TLSA 2 0 1 %s\n_26._tcp.plain TLSA 3 1 1 %s\n' "$digest" "$digest" "$digest"
  printf 'all MX 10 mx1\nall MX 20 mx2\nsome MX 10 mx1\nsome MX 20 plain\nwithout MX 10 plain\n'
  printf 'pkix A 192.0.2.25\n_25._tcp.pkix TLSA 1 1 1 %s\nunusable MX 10 pkix\n' "$digest"
}
zone example.org >"$work/example.org"
zone example.net >"$work/example.net"
{
  zone example.com
  i=81
  for domain in enforce testing wrong-name too-large without-record; do
    printf '%s MX 10 plain\nmta-sts.%s A 192.0.2.%s\n' $domain $domain $((i++))
    [ $domain = without-record ] || printf '_mta-sts.%s TXT "v=STSv1; id=20261123;"\n' $domain
  done
} >"$work/example.com"
cd "$work"
for domain in example.org example.net; do
  key=$(ldns-keygen -a ECDSAP256SHA256 -k "$domain")
  ldns-signzone -n "$domain" "$key"
  cp "$key.key" "$domain.key"
done
# The anchor of example.net is another key than the one that signed it.
other=$(ldns-keygen -a ECDSAP256SHA256 -k example.net)
cat example.org.key "$other.key" >anchors
{
  printf 'server:\n ip-address: 127.0.0.1\n username: ""\n zonesdir: "%s"\n pidfile: "%s/nsd.pid"\n database: ""\n' "$work" "$work"
  printf ' zonelistfile: "%s/zone.list"\n xfrdfile: "%s/xfrd.state"\n xfrdir: "%s"\n server-count: 1\nremote-control:\n control-enable: no\n' "$work" "$work" "$work"
  for domain in example.org example.net; do printf 'zone:\n name: %s\n zonefile: %s.signed\n' $domain $domain; done
  printf 'zone:\n name: example.com\n zonefile: example.com\n'
} >nsd.conf
ip netns exec "$name" "$nsd" -d -c "$work/nsd.conf" >"$work/nsd.log" 2>&1 &
started+=($!)

# --- policies
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Example web CA' \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem 2>/dev/null
web() {  # ADDRESS DOMAIN CERTIFICATE-NAME; the policy is on standard input
  mkdir -p "$2/.well-known"
  cat >"$2/.well-known/mta-sts.txt"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$3" -keyout "$2.key" -out "$2.csr" 2>/dev/null
  openssl x509 -req -in "$2.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile <(echo "subjectAltName=DNS:$3") -out "$2.pem" 2>/dev/null
  cd "$work/$2"
  ip netns exec "$name" openssl s_server -quiet -WWW -accept "$1:443" -cert "$work/$2.pem" -key "$work/$2.key" -CAfile "$work/ca.pem" \
    >"$work/$2.log" 2>&1 &
  started+=($!)
  cd "$work"
}
policy() { printf 'version: STSv1\r\nmode: %s\r\nmx: plain.example.com\r\nmx: *.mail.example.com\r\nmax_age: 86400\r\n' "$1"; }
web 192.0.2.81 enforce mta-sts.enforce.example.com < <(policy enforce)
web 192.0.2.82 testing mta-sts.testing.example.com < <(policy testing)
web 192.0.2.83 wrong-name mta-sts.example.com < <(policy enforce)
web 192.0.2.84 too-large mta-sts.too-large.example.com < <(policy enforce; head -c 70000 /dev/zero | tr '\0' ' ')
web 192.0.2.85 without-record mta-sts.without-record.example.com < <(policy enforce)
ip netns exec "$name-mx" "$trouble_server" 192.0.2.25:25=reset-in-handshake >"$work/trouble" 2>&1 &
started+=($!)
until_true 20 "the mail server" grep -q ready "$work/trouble"
answers() { run bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }
until_true 20 "the name server" answers 127.0.0.1 53
for last in 81 82 83 84 85; do until_true 20 "the web server .$last" answers "192.0.2.$last" 443; done

mkdir "$work/mail"
: >"$work/mail/master.cf"
# settings LINE... : of [tls]; Postfix has may, and DNSSEC where $dnssec says so.
dnssec=
settings() { printf '[tls]\nfloor = "may"\n'; printf '%s\n' "$@"; }
probe() {  # DOMAIN
  printf 'compatibility_level = 3.6\nsmtp_tls_security_level = may\nsmtp_dns_support_level = %s\n' "$dnssec" >"$work/mail/main.cf"
  touch -d '1 hour ago' "$work/mail/main.cf"  # postconf(1) waits for one that is new
  run env MAIL_CONFIG="$work/mail" SSL_CERT_FILE="$work/ca.pem" "$program" -c "$work/postfathom.toml" probe "$1" -4 --timeout 20s --json \
    >"$work/report" 2>"$work/err" || true
  [ "$(jq -r .diagnosis.id "$work/report")" = reset-in-handshake ] || fail "$1: $(cat "$work/report" "$work/err")"
}
suggested() { jq -r '[.suggestions[] | select(.kind == "tls-policy").commands[]] | join("; ")' "$work/report"; }
why() { jq -r '.suggestions[] | select(.kind == "tls-policy").why' "$work/report"; }
# publishes DOMAIN LEVEL LINE: what is published, and the line that is suggested for it.
publishes() {
  local level
  probe "$1"
  level=$(jq -r '.published_tls.level // "may"' "$work/report")
  [ "$level" = "$2" ] || fail "$1: expected $2 to be published, found $level in $(cat "$work/report")"
  [ "$(suggested)" = "$3" ] || fail "$1: expected the line \"$3\", found \"$(suggested)\""
  jq -e '.tls_floor == "may"' "$work/report" >/dev/null || fail "$1: the level in force is wrong: $(cat "$work/report")"
  echo "ok: $1: $2"
}

settings "trust_anchor = \"$work/anchors\"" 'mta_sts = true' >"$work/postfathom.toml"
publishes all.example.org dane-only 'all.example.org dane-only'
[[ $(why) == *"TLSA records of 2 of 2 servers"*"smtp_dns_support_level = dnssec"* ]] || fail "why: $(why)"
publishes some.example.org dane 'some.example.org dane'
publishes without.example.org may 'without.example.org encrypt'
publishes unusable.example.org encrypt 'unusable.example.org encrypt'
publishes '[mx1.example.org]' dane-only '[mx1.example.org] dane-only'
publishes '[plain.example.org]' may '[plain.example.org] encrypt'
publishes all.example.net may 'all.example.net encrypt'
publishes all.example.com may 'all.example.com encrypt'
publishes enforce.example.com secure 'enforce.example.com secure match=plain.example.com:.mail.example.com servername=hostname'
[[ $(why) == *"MTA-STS policy to enforce"* ]] || fail "why: $(why)"
publishes testing.example.com may 'testing.example.com encrypt'
publishes wrong-name.example.com may 'wrong-name.example.com encrypt'
publishes too-large.example.com may 'too-large.example.com encrypt'
publishes without-record.example.com may 'without-record.example.com encrypt'
dnssec=dnssec
publishes all.example.org dane-only 'all.example.org dane-only'
[[ $(why) != *"smtp_dns_support_level"* ]] || fail "a setting is asked for that is there: $(why)"

# Switched off, nothing is looked up.
settings 'trust_anchor = ""' 'mta_sts = false' >"$work/postfathom.toml"
publishes all.example.org may 'all.example.org encrypt'
publishes enforce.example.com may 'enforce.example.com encrypt'
echo "what is published is the floor of what is suggested"
