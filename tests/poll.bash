# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Waiting for a condition. Sourced.

# pause SECONDS, without a program or a shell to start: nothing ever comes from this pipe.
exec {poll_pipe}<> <(:)
pause() { read -r -t "$1" -u "$poll_pipe" || true; }

# poll SECONDS COMMAND...: until it succeeds; status 1 when it does not in time. Pauses grow to a second: what
# asks is a process or several, and they take the processor from what is waited for.
poll() {
  local -r poll_end=$((SECONDS + $1)) poll_pauses=(0.02 0.05 0.1 0.2 0.3 0.5 0.5 0.5 0.5 0.5 1)
  local poll_turn=0
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$poll_end" ] || return 1
    pause "${poll_pauses[poll_turn]}"
    [ "$((poll_turn + 1))" -ge "${#poll_pauses[@]}" ] || poll_turn=$((poll_turn + 1))
  done
}
