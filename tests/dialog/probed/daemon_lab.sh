#!/usr/bin/env bash
# What budget.sh, vantages.sh and services.sh share: the daemon in the client's namespace of ../probe/topology.sh, questions to
# it, and what the server saw. Read with the arguments POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY.
set -euo pipefail
program=$1
cli=$2
fake_mx=$3
topology=$4
for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
# shellcheck source-path=SCRIPTDIR/../probe source=topology.sh
. "$topology"

daemon=
stop() {
  [ -n "$daemon" ] || return 0
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  daemon=
}
trap 'stop; cleanup' EXIT

fail() {
  echo "FAILED: $1"
  echo "--- daemon"
  cat "$work/log" 2>/dev/null || true
  echo "--- verdict"
  known 2>/dev/null | jq 'del(.report)' || true
  known 2>/dev/null | jq -c '.report.endpoints[]? | .cost, (.attempts[] | [.allowed, .outcome, .stall])' || true
  exit 1
}

# start [LINE OF [probe]]...: a daemon without memory, in the client's namespace.
start() {
  stop
  rm -rf "$work/cache" "$work/log"
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
$(printf '%s\n' "$@")
TOML
  ip netns exec "$client" "$program" -c "$work/postfathom.toml" >"$work/log" 2>&1 &
  daemon=$!
  eventually "the daemon does not answer" ask http://localhost/healthz
}

ask() { curl -sS --max-time 120 --unix-socket "$work/admin.sock" "$@" 2>/dev/null; }
postfathom() { "$cli" -c "$work/postfathom.toml" "$@"; }
known() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D%3A$port"; }
verdict() { known | jq -r ".verdict.$1"; }

# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../poll.bash"
# eventually WHAT-IS-WRONG-OTHERWISE COMMAND...
eventually() { poll "${PATIENCE:-60}" "${@:2}" >/dev/null || fail "$1"; }
is() { [ "$(eval "$1")" = "$2" ]; }
finished() { [ "$(ask http://localhost/v1/status | jq .schedule.finished)" -ge "$1" ]; }

# A line of Postfix's log, which is what sets the daemon going.
deferred() {
  cat >>"$work/mail.log" <<LOG
Nov 23 01:11:21 mx postfix/smtp[3910]: SSL_connect error to 198.51.100.2[198.51.100.2]:$port: Connection timed out
Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@[198.51.100.2]>, relay=198.51.100.2[198.51.100.2]:$port, delay=300, delays=0.02/0.03/300/0, dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)
LOG
}
# What the server saw since forget_server: connections, and handshakes that were begun and not completed, which
# is what Postfix logs as "lost connection after STARTTLS" and fail2ban counts.
server_log() { cat "$work/$port.198.51.100.2.log"; }
forget_server() { seen_before=$(server_log | wc -l); }
seen() { server_log | tail -n "+$((seen_before + 1))" | grep -c "^$1" || true; }
