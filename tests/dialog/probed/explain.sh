#!/usr/bin/env bash
# explain.sh POSTFATHOM-PROBED POSTFATHOM FAKE_MX TOPOLOGY: `postfathom explain` tells why messages wait behind a real hole,
# from the daemon, from the daemon after its restart, and from the log without it.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/daemon_lab.sh"
port=25

make_links
set_path 1400
make_certificates
serve 25 normal chain
start

story=
# explain STATUS ARGUMENT...: the story, and what went to standard error, is in $story.
explain() {
  local -r expected=$1
  local status=0
  shift
  story=$(postfathom explain "$@" 2>&1) || status=$?
  [ "$status" = "$expected" ] || fail "explain $* ended with $status, expected $expected: $story"
}
# Long lines are folded.
tells() { [[ $(tr -s ' \n' ' ' <<<"$story") == *"$1"* ]] || fail "the story has no \"$1\": $story"; }

explain 1 45952A7814D
tells "nothing is known of 45952A7814D"
explain 1 "[198.51.100.2]"
explain 64 "no such place"

cat >>"$work/mail.log" <<LOG
Nov 23 01:06:21 mx postfix/qmgr[20]: 45952A7814D: from=<me@example.net>, size=302, nrcpt=1 (queue active)
LOG
deferred
cat >>"$work/mail.log" <<LOG
Nov 23 01:12:21 mx postfix/qmgr[20]: 55952A7814D: from=<me@example.net>, size=310, nrcpt=1 (queue active)
Nov 23 01:12:21 mx postfix/error[3999]: 55952A7814D: to=<they@[198.51.100.2]>, relay=none, delay=0.1, delays=0.02/0.08/0/0, dsn=4.7.5, status=deferred (delivery temporarily suspended: Cannot start TLS: handshake failure)
LOG
black_hole() { ask "http://localhost/v1/destinations/%5B198.51.100.2%5D" | jq -e '.verdict.id == "pmtu-black-hole"' >/dev/null; }
eventually "the log line brought no verdict" black_hole
# For a person the size is exact at once, whatever the daemon's budget is.
ask -d '{"destination": "[198.51.100.2]", "wait": true}' http://localhost/v1/probe >/dev/null

evidence() {
  tells "[198.51.100.2]: "
  tells "from 192.0.2.2 on wan, interface MTU 8921"
  tells "path MTU: inbound 1400 exactly, outbound "
  tells "packets of 1400 bytes allowed to the server; came back: ok"
  tells "a later, smaller segment arrived"
  tells "ruled out: "
  tells "what would help: "
}
explain 0 45952A7814D
tells "Message 45952A7814D: 302 bytes, 1 recipient"
tells "Nov 23 01:11:21: deferred, for [198.51.100.2], by 198.51.100.2[198.51.100.2]:25"
tells "before that: handshake-error with 198.51.100.2[198.51.100.2]:25: Connection timed out"
evidence
explain 0 55952A7814D
tells "put off without an attempt"
tells "message 45952A7814D failed there at Nov 23 01:11:21, with 198.51.100.2[198.51.100.2]:25"
evidence
explain 0 "[198.51.100.2]"
evidence
explain 0 --json 45952A7814D
jq -e '.queue_id == "45952A7814D" and .attempts[0].kind == "cannot-start-tls" and .destinations[0].verdict.path_mtu == 1400
  and .unknown == []' <<<"$story" >/dev/null || fail "--json: $story"

# Another one of the same log, which keeps nothing but its cache and how far it read.
kill "$daemon"
wait "$daemon" || true
explain 0 55952A7814D
tells "postfathom-probed is not running; this is what the log tells"
tells "message 45952A7814D failed there at Nov 23 01:11:21"
tells "to find out: postfathom probe '[198.51.100.2]'"
explain 69 66952A7814D
explain 69 "[198.51.100.2]"
cp "$work/mail.log" "$work/mail.log.1"
: >"$work/mail.log"
explain 0 45952A7814D
status=0
story=$(postfathom explain 45952A7814D --log - <"$work/mail.log.1" 2>&1) || status=$?
[ "$status" = 0 ] || fail "a log on standard input: $story"
tells "Nov 23 01:11:21: deferred"

ip netns exec "$client" "$program" -c "$work/postfathom.toml" >>"$work/log" 2>&1 &
daemon=$!
eventually "the daemon does not answer" ask http://localhost/healthz
explain 0 45952A7814D
tells "Nov 23 01:11:21: deferred"
evidence
explain 1 66952A7814D
echo "stories: told"
