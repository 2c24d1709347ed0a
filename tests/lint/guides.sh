#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The walk-throughs of docs/contributing.md stay true: each file and folder that they name is there, and so is each function
# and type: guides.sh ROOT
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")
guide=docs/contributing.md

sources=()
mapfile -t sources < <(cpp_files "$root" | grep -E '^(lib|probes)/' | sed "s|^|$root/|")
known() { [ ${#sources[@]} -gt 0 ] && grep -qE "$1" "${sources[@]}"; }
{
    checked=0
    while IFS=: read -r line word; do
        case $word in
            */*) [ -e "$root/$word" ] || echo "$guide:$line: there is no $word" ;;
            *'()') known "(^|[^[:alnum:]_])${word%'()'}\(" || echo "$guide:$line: there is no function $word" ;;
            [A-Z]*[a-z]) known "(class|struct) $word( |\$)" || echo "$guide:$line: there is no type $word" ;;
            *) continue ;;
        esac
        checked=$((checked + 1))
    done < <(grep -no '`[^` ]*`' "$root/$guide" 2>/dev/null | tr -d '`')
    [ "$checked" -gt 0 ] || echo "$guide: found nothing to check"
} | finish
