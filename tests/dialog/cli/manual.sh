#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# manual.sh POSTFATHOM PROBED PAGES PROGRAMS: the manual pages in PAGES name every command, option and setting, and
# nothing else; they are well formed. PROGRAMS is where the daemons are.
set -euo pipefail
program=$1 pages=$3 programs=$4
command -v groff >/dev/null || { echo "skipped: groff is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

# As it is read, one line for each paragraph, without bold and hyphens.
read_page() {
  local faults
  faults=$(groff -man -ww -z -Tutf8 "$1" 2>&1) && [ -z "$faults" ] || fail "$1: $faults"
  ! command -v mandoc >/dev/null || mandoc -T lint -W error "$1" || fail "mandoc finds faults in $1"
  grep -n '@[A-Z]*@' "$1" && fail "$1 has a gap"
  { echo '.hy 0'; echo '.nh'; cat "$1"; } | groff -man -P-c -P-b -P-u -Tascii -rLL=400n -rHY=0
}
# Options that stand at the start of an entry.
entries() { grep -oE '^ {3,10}-[-a-zA-Z0-9, ]*' | tr ', ' '\n\n' | grep -E '^-' | sort -u || true; }
# Options of --help, but for -h, which is told once for all.
options() { "$@" --help | sed -n '/^Options:/,/^$/p' | grep -oE '^  -[^ ]+' | tr ', ' '\n\n' | grep -E '^-' | grep -vxE -- '-h|--help' | sort -u || true; }
names() { "$@" --help | sed -n '/^Subcommands:/,/^$/p' | grep -oE '^  [a-z]+' | tr -d ' ' || true; }
# section PAGE TITLE: the lines of one.
section() { awk -v title="$2" '$0 ~ /^ ? ? ?[^ ]/ { on = ($0 == title || $0 == "   " title); next } on' "$1"; }
same() { [ "$2" = "$3" ] || fail "$1: the manual has $(paste -sd' ' <<<"$2"), the program $(paste -sd' ' <<<"$3")"; }

read_page "$pages/postfathom.1" >"$work/postfathom.1"
same "postfathom" "$(section "$work/postfathom.1" OPTIONS | entries)" "$(options "$program")"
wanted=()
for command in $(names "$program"); do
  wanted+=("postfathom $command")
  for inner in $(names "$program" "$command"); do wanted+=("postfathom $command $inner"); done
done
[ "${#wanted[@]}" -ge 13 ] || fail "found too few commands: ${wanted[*]}"
same "commands" "$(grep -oE '^   postfathom [a-z ]+$' "$work/postfathom.1" | sed 's/^ *//')" "$(printf '%s\n' "${wanted[@]}")"
for title in "${wanted[@]}"; do
  read -r -a words <<<"${title#postfathom }"
  same "$title" "$(section "$work/postfathom.1" "$title" | entries)" "$(options "$program" "${words[@]}")"
  grep -q '[a-z]' <<<"$(section "$work/postfathom.1" "$title")" || fail "$title: nothing is said"
done

for daemon in probed policyd milter; do
  read_page "$pages/postfathom-$daemon.8" >"$work/page"
  same "postfathom-$daemon" "$(section "$work/page" OPTIONS | entries)" "$(options "$programs/postfathom-$daemon")"
done

read_page "$pages/postfathom.toml.5" >"$work/page"
echo >"$work/empty.toml"
settings=$("$program" -c "$work/empty.toml" config show |
  awk '/^\[/ { table = $0; gsub(/[][]/, "", table); next } /^[a-z_]+ = / && table !~ /route/ { print table "." $0 }' | sort)
[ "$(wc -l <<<"$settings")" -ge 50 ] || fail "found too few settings: $settings"
same "settings" "$(grep -oE '^ +[a-z_]+\.[a-z_]+ = .*' "$work/page" | sed 's/^ *//' | sort)" "$settings"
echo "the manual: whole"
