#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The built programs that mail waits for hold no probing code and no library that speaks to strangers:
# programs.sh PROGRAM...
set -u
. "$(dirname "$0")/common.sh"

for program in "$@"; do
    if [ ! -x "$program" ]; then
        echo "$program: expected a built program, found none"
        continue
    fi
    libraries=$(ldd "$program") || echo "$program: ldd cannot read it"
    grep -oE 'lib(ssl|crypto|unbound)\.so[^ ]*' <<<"$libraries" | sort -u |
        sed "s|^|$program: may not need |"
    # Symbols of classes and functions of the probe engine; nm ends early without them (stripped).
    symbols=$(nm -C "$program" 2>/dev/null)
    [ -n "$symbols" ] || echo "$program: expected a program with symbols, found none"
    grep -oE 'postfathom::(ProbeEngine|Resolver|SmtpDialog|PathMtuSearch|HandshakeProbe|TlsSession)::[a-z_]*' <<<"$symbols" |
        sort -u | head -n 3 | sed "s|^|$program: may not hold probing code, found |"
done | finish
