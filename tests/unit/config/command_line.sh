#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Exit statuses and words of `postfathom config` and of mistakes on the command line:
# command_line.sh PROGRAM ROOT
set -u
program=$1
root=$2
failed=0

# expect STATUS TEXT ARGUMENT...: ends with STATUS and says TEXT, on stdout when all is well.
expect() {
    local status=$1 text=$2 output found stream=2
    shift 2
    [ "$status" -eq 0 ] && stream=1
    if [ "$stream" -eq 1 ]; then
        output=$("$program" "$@" 2>/dev/null)
    else
        output=$("$program" "$@" 2>&1 >/dev/null)
    fi
    found=$?
    if [ "$found" -ne "$status" ] || ! grep -qF -- "$text" <<<"$output"; then
        echo "FAILED: postfathom $*: expected status $status and \"$text\", found $found and: $output"
        failed=1
    fi
}

good=$root/conf/postfathom.toml
bad=$root/tests/data/config/bad-several-faults.toml
expect 0 "postfathom " --version
expect 0 "Subcommands:" --help
expect 0 "Exit status: 0 healthy" probe --help
expect 0 "$good: ok" config check "$good"
expect 78 "$bad:2:14: probe.concurrent: expected" config check "$bad"
expect 78 "$bad:4:1: probe.colour: unknown setting" config check "$bad"
expect 78 "/nonexistent: No such file" config check /nonexistent
expect 78 "/nonexistent: No such file" -c /nonexistent config show
expect 0 'connect_timeout = "10s"' -c "$good" config show
expect 0 'connect_timeout = "10s"' config show --config "$good"
expect 0 '"connect_timeout":"10s"' -c "$good" config show --json
expect 64 'there is no command "nonsense"' nonsense
expect 64 "which command?"
expect 0 "$good: ok" -c "$good" config check
# For monitoring, a probe that could not be asked for is one that could not tell.
expect 3 "destination is required" probe
expect 3 "--port" probe '[192.0.2.1]' --port 0
expect 3 "--service: found \"pop3\"" probe '[192.0.2.1]' --service pop3
expect 3 "unless with --compare" probe '[192.0.2.1]' --service smtp --service imap
expect 3 "found 2 of --service and 3 of --port" probe '[192.0.2.1]' --compare --service smtp --service imap \
    --port 25 --port 143 --port 993
expect 3 "excludes" probe '[192.0.2.1]' -4 -6
expect 3 "$bad:2:14" -c "$bad" probe '[192.0.2.1]'
exit "$failed"
