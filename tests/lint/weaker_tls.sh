#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No text of the tree recommends weaker TLS, not even as an example: weaker_tls.sh ROOT [ALLOWED]
# ALLOWED has lines `FILE|PATTERN|TEXT|REASON`: PATTERN is a name below or `*`, TEXT stands in the line or
# is `*`. A line without a reason, or that nothing needs, is a fault itself.
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")
allowed=${2:-$root/tests/lint/weaker_tls_allowed}

# Names and extended regular expressions, held against lower case text. A host has a dot, a bracket or
# is the word NEXTHOP, so that plain English stays plain English.
blank='[[:blank:]]'
host="(\\[[^]]+\\]|[a-z0-9_*-]*(\\.[a-z0-9_-]+)+|nexthop)(:[a-z0-9]+)?"
end='([^[:alnum:]_-]|$)'
address="(\\[[0-9a-f:.]+\\]|[0-9]+(\\.[0-9]+){3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*|$host)"
patterns=(
    "level-off|_security_level[\"'\`]?$blank*[=:]$blank*[{\"'\`]*$blank*none$end"
    "level-off|(^|[^a-z_])floor$blank*=$blank*[\"']none$end"
    "policy-off|$host[\"'\`]?$blank+[\"'\`]*none$end"
    "policy-off|inline:.*=$blank*none$end"
    "tls-off|smtpd?_(use|enforce)_tls$blank*=$blank*no$end"
    "no-ehlo|disable_esmtp"
    "starttls-discarded|discard_ehlo_keyword.*starttls"
    "starttls-discarded|silent-discard.*starttls|starttls.*silent-discard"
    "starttls-discarded|^$blank*$address$blank+([a-z0-9-]+,$blank*)*starttls$blank*(,.*)?\$"
    "mtu-lock|mtu$blank+lock$end"
    "low-ciphers|(tls_(mandatory_)?|$blank)ciphers$blank*=$blank*[\"'\`]*(low|export|null)$end"
)

# FILE:LINE:TEXT in lower case. A main.cf line that ends in '=' goes on in the next one.
text_lines() {
    (cd "$root" && tree_files "$root" | tr '\n' '\0' | xargs -0 -r grep -lIZ '' |
        xargs -0 -r awk '
            { line = tolower($0) }
            FNR > 1 && held ~ /=[ \t]*\\?[ \t]*$/ { sub(/\\[ \t]*$/, "", held); line = held " " line }
            { held = line; print FILENAME ":" FNR ":" line }')
}

# FILE:LINE:TEXT of what may be wrong, PATTERN first.
suspects() {
    local lines entry
    lines=$(text_lines)
    for entry in "${patterns[@]}"; do
        # The name of a file is no text: match behind FILE:LINE:.
        # Through the environment: -v would eat the backslashes.
        NAME=${entry%%|*} PATTERN=${entry#*|} awk '
            { text = $0; sub(/^[^:]*:[0-9]+:/, "", text) }
            text ~ ENVIRON["PATTERN"] { print ENVIRON["NAME"] "|" $0 }' <<<"$lines"
    done
    # Protocols: only what keeps TLS 1.2 as the least.
    awk '
        { text = $0; sub(/^[^:]*:[0-9]+:/, "", text) }
        match(text, /tls_(mandatory_)?protocols[ \t]*=|[ \t]protocols=/) {
            value = substr(text, RSTART + RLENGTH)
            if (value !~ /^[ \t]*["\047`]?>=[ \t]*tlsv1\.[23]([^0-9.]|$)/) print "protocols|" $0
        }' <<<"$lines"
}

declare -A needed=()
is_allowed() {
    local pattern=$1 file=$2 text=$3 i
    for i in "${!allow_file[@]}"; do
        [ "${allow_file[i]}" = "$file" ] || continue
        [ "${allow_pattern[i]}" = '*' ] || [ "${allow_pattern[i]}" = "$pattern" ] || continue
        [ "${allow_text[i]}" = '*' ] || [[ $text == *"${allow_text[i],,}"* ]] || continue
        needed[$i]=1
        return 0
    done
    return 1
}

allow_file=() allow_pattern=() allow_text=()
check() {
    local number=0 file pattern text reason
    local -a allow_line=()
    while IFS='|' read -r file pattern text reason; do
        number=$((number + 1))
        case $file in '' | '#'*) continue ;; esac
        if [ -z "$pattern" ] || [ -z "$text" ] || [ -z "${reason// /}" ]; then
            echo "weaker_tls_allowed:$number: expected FILE|PATTERN|TEXT|REASON, with a reason"
        elif [[ $pattern$text == *'*'* ]] && [[ $file != tests/lint/* ]]; then
            echo "weaker_tls_allowed:$number: '*' is for the lint's own files; name pattern and text"
        elif [[ $file == tests/lab/* || $file == conf/* || $file == contrib/* || $file == docs/* ]]; then
            echo "weaker_tls_allowed:$number: $file is what people copy; there are no exceptions for it"
        else
            allow_file+=("$file") allow_pattern+=("$pattern") allow_text+=("$text")
            allow_line+=("$number")
        fi
    done < <(cat "$allowed" 2>/dev/null)

    while IFS='|' read -r pattern rest; do
        [ -n "$pattern" ] || continue
        file=${rest%%:*}
        rest=${rest#*:}
        is_allowed "$pattern" "$file" "${rest#*:}" ||
            echo "$file:${rest%%:*}: $pattern: this weakens TLS or may be read so: ${rest#*:}"
    done < <(suspects | sort -u)

    local i
    for i in "${!allow_file[@]}"; do
        [ -n "${needed[$i]:-}" ] ||
            echo "weaker_tls_allowed:${allow_line[i]}: nothing needs this exception any more"
    done
}
check | finish
