#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# metrics.sh POSTFATHOM-PROBED ROOT: the daemon's metrics over the admin socket and the loopback port, which is for reading only;
# promtool's opinion of them and of the alert rules; and that rules, dashboard and documentation name what is served.
set -euo pipefail
probed=$1 root=$2
# shellcheck source=tests/poll.bash
. "$root/tests/poll.bash"
promtool=$root/build/monitoring/usr/bin/promtool
[ -x "$promtool" ] || promtool=$(command -v promtool) || { echo "skipped: promtool is not installed (contrib/install-dependencies test)"; exit 77; }
for tool in curl jq; do command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }; done

work=$(mktemp -d)
daemon=
finish() {
  local status=$?
  [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; }
  [ "$status" -eq 0 ] || cat "$work/log" >&2
  rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# A port that is free now may be taken a moment later, so several are tried.
for port in 19477 29477 39477 49477; do
  cat >"$work/postfathom.toml" <<CONF
[cache]
directory = "$work"
[notice]
socket = "$work/notice.sock"
[admin]
socket = "$work/admin.sock"
http_port = $port
[mail_log]
file = "$work/mail.log"
CONF
  echo 'Nov 23 01:11:21 mx postfix/smtp[3910]: connect to 127.0.0.1[127.0.0.1]:9: Connection refused' >"$work/mail.log"
  "$probed" -c "$work/postfathom.toml" 2>"$work/log" &
  daemon=$!
  for _ in $(seq 300); do
    curl -sf -o "$work/metrics" "http://127.0.0.1:$port/metrics" && break 2
    kill -0 "$daemon" 2>/dev/null || break
    pause 0.1
  done
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  daemon=
done
[ -n "$daemon" ] || fail "no metrics on any port"
url=http://127.0.0.1:$port

# A probe, so that all families have samples.
curl -sf --max-time 60 --unix-socket "$work/admin.sock" -d '{"destination": "[127.0.0.1]:9", "wait": true}' -o /dev/null http://localhost/v1/probe ||
  fail "no probe"
curl -sf --unix-socket "$work/admin.sock" -o "$work/metrics" http://localhost/metrics || fail "no metrics on the socket"
grep -qx 'postfathom_probe_results_total{diagnosis="refused"} 1' "$work/metrics" || fail "the probe is not counted: $(cat "$work/metrics")"
type=$(curl -sf -o /dev/null -w '%{content_type}' "$url/metrics")
[ "$type" = 'text/plain; version=0.0.4; charset=utf-8' ] || fail "content type $type"
"$promtool" check metrics <"$work/metrics" || fail "promtool dislikes the metrics"

# status WANTED [CURL-OPTION...]
status() {
  local wanted=$1 found
  shift
  found=$(curl -s -o "$work/answer" -w '%{http_code}' "$@")
  [ "$found" = "$wanted" ] || fail "curl $*: expected $wanted, found $found: $(cat "$work/answer")"
}
status 200 "$url/v1/destinations"
status 200 "$url/healthz"
status 200 -H 'Host: localhost' "$url/healthz"
status 200 -H 'Host: [::1]:9477' "$url/healthz"
status 403 -X POST -d '{"destination": "[127.0.0.1]:9"}' "$url/v1/probe"
jq -e '.error.code == "read-only"' "$work/answer" >/dev/null || fail "not told: $(cat "$work/answer")"
status 403 -X DELETE "$url/v1/destinations/%5B127.0.0.1%5D:9"
status 200 "$url/v1/destinations/%5B127.0.0.1%5D:9"
for host in evil.example localhost.evil.example 127.0.0.1.evil.example '' '[::1].evil.example'; do status 403 -H "Host: $host" -H "X: 1" "$url/metrics"; done

"$promtool" check rules "$root/contrib/prometheus/postfathom.rules.yml"
(cd "$root/contrib/prometheus" && "$promtool" test rules postfathom.rules.test.yml) || fail "the rules do not do what they are for"

sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/metrics" | sort -u >"$work/served"
[ "$(wc -l <"$work/served")" -gt 20 ] || fail "only $(wc -l <"$work/served") families"
for file in contrib/prometheus/postfathom.rules.yml contrib/grafana/postfathom.json; do
  named=$(grep -o 'postfathom_[a-z_]*' "$root/$file" | sed 's/_bucket$//' | sort -u)
  [ -n "$named" ] || fail "$file names no metric"
  unknown=$(comm -13 "$work/served" - <<<"$named")
  [ -z "$unknown" ] || fail "$file names what is not served: $unknown"
done
jq -e '.panels | length > 5' "$root/contrib/grafana/postfathom.json" >/dev/null || fail "the dashboard is empty"
sed -n 's/^| `\(postfathom_[a-z_]*\)`.*/\1/p' "$root/docs/metrics.md" | sort -u >"$work/documented"
diff "$work/served" "$work/documented" || fail "docs/metrics.md and what is served differ"
echo "metrics: $(wc -l <"$work/served") families, all documented"
