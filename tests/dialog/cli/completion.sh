#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# completion.sh POSTFATHOM PROBED FILE: what bash completes is what --help has, and the next hops that the daemon knows.
set -euo pipefail
program=$1 probed=$2 completion=$3
. "$(dirname "$0")/daemon.bash"
# shellcheck source=contrib/completion/postfathom
. "$completion"
grep -q -- '-F _postfathom' <<<"$(complete -p postfathom)" || fail "nothing is registered"

# complete_line LINE: what is offered at its end, as bash calls the function.
complete_line() {
  COMP_LINE=$1 COMP_POINT=${#1}
  _postfathom
  printf '%s\n' "${COMPREPLY[@]}" | sort
}
offers() {  # LINE WORD...: these and no others
  local -r line=$1
  shift
  local -r found=$(complete_line "$line") wanted=$(printf '%s\n' "$@" | sort)
  [ "$found" = "$wanted" ] || fail "\"$line\": expected $(paste -sd' ' <<<"$wanted"), found $(paste -sd' ' <<<"$found")"
}
# As CLI11 writes them: the first word of each line, read apart from the completion's own way.
listed() { sed -n "/^$1:/,/^\$/p" | grep -oE "^  $2" | tr ', ' '\n\n' | grep . || true; }

mapfile -t commands < <("$program" --help | listed Subcommands '[a-z]+')
[ "${#commands[@]}" -ge 11 ] || fail "found too few commands: ${commands[*]}"
offers "$program " "${commands[@]}"
check_options() {
  local options
  mapfile -t options < <("$@" --help | listed Options '-[^ ]+')
  [ "${#options[@]}" -ge 1 ] || fail "no option of: $*"
  offers "$* -" "${options[@]}"
}
check_options "$program"
for command in "${commands[@]}"; do check_options "$program" "$command"; done
offers "$program config " check show
offers "$program -c /dev/null sta" status
offers "$program probe --service sm" smtp smtps
offers "$program list " ''

write_settings </dev/null
start_daemon
for next_hop in '[127.0.0.1]:9' '[127.0.0.2]:9'; do
  ask -d "{\"destination\": \"$next_hop\", \"wait\": true}" http://localhost/v1/probe >/dev/null
done
COMP_WORDBREAKS=$' \t\n"'
offers "$program -c $work/postfathom.toml show " '\[127.0.0.1\]:9' '\[127.0.0.2\]:9'
offers "$program -c $work/postfathom.toml verify [127.0.0.2" '\[127.0.0.2\]:9'
offers "$program -c $work/postfathom.toml forget x" ''
COMP_WORDBREAKS=$' \t\n":'
offers "$program -c $work/postfathom.toml show --json \\[127.0.0.2\\]:" '9'
touch "$work/some.log"
offers "$program log $work/some" "$work/some.log"
stop_daemon
offers "$program -c $work/postfathom.toml show " ''
echo "completion: as the help has it"
