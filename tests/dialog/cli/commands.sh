#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# commands.sh POSTFATHOM PROBED: check, verify, status, list and forget, with the daemon and without.
set -euo pipefail
program=$1 probed=$2
. "$(dirname "$0")/daemon.bash"

write_settings </dev/null
# Port 9 of this host: nobody listens, so a verdict comes at once.
ill='[127.0.0.1]:9'

expect 3 check "$ill"
out_has '^POSTFATHOM UNKNOWN - .*postfathom-probed is not running'
expect 69 status
out_has '^postfathom-probed +down: .*not running'
expect 69 status --json
json_is '.schema == 1 and .daemon == null and .daemon_trouble != null and (.alarms | length) == 0'
expect 69 forget "$ill"
expect 69 verify "$ill"
err_has 'postfathom-probed is not running'
expect 2 check --probe "$ill"
out_has '^POSTFATHOM CRITICAL - \[127\.0\.0\.1\]:9: refused'

start_daemon
expect 3 check "$ill"
out_has '^POSTFATHOM UNKNOWN - nothing is known of \[127\.0\.0\.1\]:9'
expect 2 verify "$ill"
out_has '^  before: not known'
out_has 'Ill now; why: postfathom explain'
expect 2 verify --json "$ill"
json_is '.schema == 1 and .mended == false and .was_ill and (.checklist | map(.id)) ==
  ["handshake", "path-mtu-inbound", "path-mtu-outbound", "large-messages", "retransmissions"]'
expect 2 check -w 2 -c 5 -t 30 "$ill"
out_has '^POSTFATHOM CRITICAL - \[127\.0\.0\.1\]:9: refused.*\|.*age=[0-9]+s;;;0;$'
[ "$(wc -l <"$work/out")" -eq 1 ] || fail "check takes more than a line: $(cat "$work/out")"
expect 2 check -w 2 -c 5 -t 30 --json "$ill"
json_is '.status == "critical" and .exit_status == 2 and (.line | startswith("POSTFATHOM CRITICAL - ")) and .handshake == null'
expect 3 check --json nobody.example.org
json_is '.status == "unknown" and .exit_status == 3 and .destination == "nobody.example.org"'
expect 3 check -w soon "$ill"
out_has '^POSTFATHOM UNKNOWN - -w: found "soon"'
expect 3 check
expect 64 verify "$ill" --timeout soon

expect 0 status
out_has '^postfathom-probed +runs, version '
out_has '^cache +1 next hop, .* KiB of 256 MiB$'
out_has '^mail log +.*mail.log: 0 lines'
out_has '^postfathom-milter +milter: not running'
expect 0 status --json
json_is '.daemon.cache.destinations == 1 and .daemon_trouble == null and (.sockets | length) == 3'

# Colours on a terminal, none in a pipe.
if command -v script >/dev/null; then
  script -qec "'$program' -c '$work/postfathom.toml' list" /dev/null >"$work/out"
  grep -q $'\x1b\\[1;31mcritical' "$work/out" || fail "list has no colour on a terminal: $(cat -v "$work/out")"
  NO_COLOR=1 script -qec "'$program' -c '$work/postfathom.toml' show '$ill'" /dev/null >"$work/out"
  grep -q $'\x1b' "$work/out" && fail "show has colour in spite of NO_COLOR: $(cat -v "$work/out")"
fi
expect 0 list
grep -q $'\x1b' "$work/out" && fail "list has colour in a pipe"

expect 0 list --names
[ "$(cat "$work/out")" = "$ill" ] || fail "list --names: $(cat "$work/out")"
expect 1 suggest "$ill"
err_has 'nothing is suggested'
expect 1 suggest --json "$ill"
[ "$(jq -c .suggestions "$work/out")" = '[]' ] || fail "suggest --json: $(cat "$work/out")"
expect 64 suggest --format pdf "$ill"
err_has '--format: found "pdf", expected text, json, sh, nft or postfix'
expect 64 suggest --kind weaker-tls "$ill"
err_has '--kind: found "weaker-tls", expected one of tunnel-mtu, '
expect 64 suggest --undo "$ill"
err_has 'expected sh or nft with --undo'
expect 1 suggest unknown.example.org
expect 0 forget "$ill"
out_has '^\[127\.0\.0\.1\]:9: forgotten'
expect 1 forget "$ill"
err_has 'nothing is known'
expect 64 forget 'not a next hop'
expect 0 list
out_has '^no destination is known'
expect 0 list --names
[ ! -s "$work/out" ] || fail "list --names without any: $(cat "$work/out")"
postfathom probe "$ill" >/dev/null || true
[ "$(ask http://localhost/v1/status | jq .cache.destinations)" = 0 ] || fail "probe writes to the cache"
echo "the commands: well"
