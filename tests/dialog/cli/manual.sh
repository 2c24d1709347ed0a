#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# manual.sh POSTFATHOM PROBED PAGES PROGRAMS: the manual pages in PAGES, one for each command, name every option and setting, and
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
commands=$(names "$program")
[ "$(wc -l <<<"$commands")" -ge 13 ] || fail "found too few commands: $commands"
same "commands" "$(section "$work/postfathom.1" COMMANDS | sed -nE 's/^ +postfathom-([a-z]+)\(1\)$/\1/p')" "$commands"
same "pages" "$(cd "$pages" && ls | sed -nE 's/^postfathom-([a-z]+)\.1$/\1/p')" "$(sort <<<"$commands")"
for command in $commands; do
  read_page "$pages/postfathom-$command.1" >"$work/page"
  for title in NAME SYNOPSIS DESCRIPTION EXAMPLES "SEE ALSO"; do
    grep -q '[a-z]' <<<"$(section "$work/page" "$title")" || fail "$command: nothing is said in $title"
  done
  grep -q "^ *postfathom $command" <<<"$(section "$work/page" SYNOPSIS)" || fail "$command: another synopsis: $(section "$work/page" SYNOPSIS)"
  mapfile -t inner < <(names "$program" "$command")
  # section() ends at the next heading, which an inner command is.
  same "postfathom $command" "$(section "$work/page" OPTIONS | entries)" "$(options "$program" "$command")"
  same "commands of $command" "$(grep -oE "^   postfathom $command [a-z]+$" "$work/page" | sed 's/.* //')" "$(printf '%s\n' "${inner[@]}")"
  for word in "${inner[@]}"; do
    same "$command $word" "$(section "$work/page" "postfathom $command $word" | entries)" "$(options "$program" "$command" "$word")"
    grep -q '[a-z]' <<<"$(section "$work/page" "postfathom $command $word")" || fail "$command $word: nothing is said"
  done
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
