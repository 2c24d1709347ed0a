# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of the lab share. Usage in a test: . test.sh; lab_test SCENARIO BIN_DIR
# shellcheck source=tests/lab/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin

# Brings a lab of its own up; takes it down at the end, and shows the logs when the test failed.
lab_test() {
  lab_require || exit $?
  LAB_DIR=$(mktemp -d /tmp/postfathom-lab.XXXXXX)
  LAB_ID=$$
  POSTFATHOM_BIN=$2  # used by lib.sh
  trap 'lab_test_end $?' EXIT
  lab_check "$1"
  lab_up "$1"
}

lab_test_end() {
  local status=$1
  set +e
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    for log in "$LAB_DIR"/sender/log/mail.log "$LAB_DIR"/receiver/log/mail.log "$LAB_DIR"/postfathom/*.log; do
      [ ! -e "$log" ] || { echo "--- ${log#"$LAB_DIR"/}"; tail -n 60 "$log"; }
    done
  fi
  lab_down
  rm -rf "$LAB_DIR"
  exit "$status"
}

step() { echo "- $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# expect WHAT ACTUAL EXPECTED
expect() { [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"; }
# expect_in WHAT TEXT PART
expect_in() { grep -qF -- "$3" <<<"$2" || fail "$1: expected '$3' in: $2"; }
expect_not_in() { ! grep -qF -- "$3" <<<"$2" || fail "$1: did not expect '$3' in: $2"; }

# What the sender's kernel has learned of paths would help the next attempt.
forget_sizes() {
  lab_ip sender route flush cache
  lab_ip sender tcp_metrics flush >/dev/null 2>&1 || true
}

# Header lines as they were before folding (RFC 5322 section 2.2.3).
unfold() { sed -e ':join' -e 'N' -e '$!b join' -e 's/\n[\t ]\{1,\}/ /g'; }
