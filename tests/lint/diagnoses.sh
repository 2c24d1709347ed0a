#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every diagnosis has a rule that says it, an example in the unit tests, and a line in the table of
# docs/architecture.md: diagnoses.sh ROOT
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")
cd "$root" || exit 1

names=lib/diagnosis/diagnosis.cpp
table=docs/architecture.md

entries() { sed -n 's/^ *{DiagnosisId::\([a-z_]*\), "\([a-z-]*\)"}.*/\1 \2/p' "$names"; }

faults() {
    local entry id name place
    [ "$(entries | wc -l)" -gt 0 ] || echo "$names:1: found no diagnosis"
    while read -r id name; do
        place="$names:$(grep -n "\"$name\"" "$names" | head -n 1 | cut -d: -f1)"
        grep -qE "DiagnosisId::$id\\b" lib/diagnosis/*_rules.cpp lib/diagnosis/diagnose.cpp ||
            echo "$place: no rule says $name"
        grep -rqE "DiagnosisId::$id\\b|\"$name\"" tests/unit/diagnosis ||
            echo "$place: no unit test knows $name"
        grep -qE "^\\|([^|]*[ ,])?\`$name\`[^|]*\\|[^|]+\\|[^|]*[0-9p][^|]*\\|\$" "$table" ||
            echo "$place: $table has no line with what $name says and its confidence"
    done < <(entries)
}

faults 2>/dev/null | finish
