#!/usr/bin/env bash
# services.sh POSTFATHOM-PROBED FAKE_MX TOPOLOGY: the daemon misses STARTTLS that a server offered before, and
# probes an IMAP server when a person asks for it.
set -euo pipefail
program=$1
fake_mx=$2
topology=$3
for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
# shellcheck source-path=SCRIPTDIR/../probe source=topology.sh
. "$topology"

daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; cleanup' EXIT
fail() {
  echo "FAILED: $1"
  cat "$work/log"
  exit 1
}
ask() { curl -sS --max-time 120 --unix-socket "$work/admin.sock" "$@" 2>/dev/null; }
# probe NEXTHOP: what the daemon finds there.
probe() { ask -d "{\"destination\": \"$1\", \"wait\": true}" http://localhost/v1/probe; }
expect() { [ "$2" = "$3" ] || fail "$1: found $2, expected $3"; }

make_links
set_path 1500
make_certificates
mkdir "$work/cache"
: >"$work/mail.log"
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$work/mail.log"
[admin]
socket = "$work/admin.sock"
[probe]
ca_file = "$work/root.pem"
ehlo_name = "client.example.org"
TOML
ip netns exec "$client" "$program" -c "$work/postfathom.toml" >"$work/log" 2>&1 &
daemon=$!
until ask http://localhost/healthz >/dev/null; do
  [ "$SECONDS" -lt 60 ] || fail "the daemon does not answer"
  read -r -t 0.1 <> <(:) || true
done

serve 2530 normal chain
serve 2531 no-starttls chain
serve 143 imap-preauth chain
expect "a server that never offered it" "$(probe '[198.51.100.2]:2531' | jq -r .verdict.id)" starttls-missing
expect "a server that offers it" "$(probe '[198.51.100.2]:2530' | jq -r .verdict.id)" healthy
for pid in "${servers[@]:0:2}"; do kill "$pid"; done
for pid in "${servers[@]:0:2}"; do wait "$pid" 2>/dev/null || true; done
serve 2530 no-starttls chain
expect "the same without" "$(probe '[198.51.100.2]:2530' | jq -r .verdict.id)" starttls-stripped
answer=$(probe '[198.51.100.2]:143')
expect "an IMAP server" "$(jq -r .verdict.id <<<"$answer")" starttls-missing
expect "its service" "$(jq -r .report.endpoints[0].service <<<"$answer")" imap
