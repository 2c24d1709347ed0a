# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced.

# quick_start QUEUE_DIRECTORY: makes what a queue has, so that `postfix start` leaves out to look at it and at main.cf, which takes it
# some fifty processes and seconds on a machine that is busy (postfix-script has the file).
quick_start() {
  install -d -o postfix -m 0700 "$1"/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace}
  install -d -o postfix -g postdrop -m 0730 "$1/maildrop"
  install -d -o postfix -g postdrop -m 0710 "$1/public"
  install -d -m 0755 "$1/pid"
  : >"$1/quick-start"
}
