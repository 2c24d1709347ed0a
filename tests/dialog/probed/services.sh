#!/usr/bin/env bash
# services.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: the daemon misses STARTTLS that a server offered before, and
# probes an IMAP server when a person asks for it.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/daemon_lab.sh"

# probe NEXTHOP: what the daemon finds there.
probe() { ask -d "{\"destination\": \"$1\", \"wait\": true}" http://localhost/v1/probe; }
expect() { [ "$2" = "$3" ] || fail "$1: found $2, expected $3"; }
port=2530

make_links
set_path 1500
make_certificates
start

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
