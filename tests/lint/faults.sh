#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs/faults.md and the tests: each test that a row names is there, and each test of tests/dialog/faults has a row.
set -u
. "$(dirname "$0")/common.sh"
root=$1
page=docs/faults.md
{
    [ -s "$root/$page" ] || echo "$page: expected a table of faults, found none"
    # Rows have five columns and end with a name in backquotes.
    grep -nE '^\|' "$root/$page" | grep -vE '\| (test|---) \|$' | while IFS=: read -r line row; do
        if [ "$(awk -F ' [|] ' '{ print NF }' <<<"$row")" -ne 5 ]; then
            echo "$page:$line: expected five columns"
        elif ! [[ $row =~ \`([^\`]+)\`\ \|$ ]]; then
            echo "$page:$line: expected a test's name in backquotes at the end"
        elif ! grep -rqF --include='*.cpp' --include=CMakeLists.txt "\"${BASH_REMATCH[1]}\"" "$root/tests"; then
            echo "$page:$line: there is no test \"${BASH_REMATCH[1]}\""
        fi
    done
    file=tests/dialog/faults/CMakeLists.txt
    grep -nE '^postfathom_fault_test\(' "$root/$file" | sed 's/^\([0-9]*\):.*"\(.*\)".*/\1:\2/' | while IFS=: read -r line test; do
        grep -qF "| \`$test\` |" "$root/$page" || echo "$file:$line: \"$test\" has no row in $page"
    done
} | finish
