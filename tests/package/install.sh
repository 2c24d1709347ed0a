#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The packages' life on a host: they are installed and change nothing for Postfix, an upgrade keeps configuration and cache,
# and a purge leaves no file, user or group. Changes the host that it runs on: on_host_copy.sh makes one.
#   install.sh DIRECTORY_OF_PACKAGES FILL_CACHE
set -euo pipefail
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../poll.bash"
# shellcheck source=tests/package/newer.bash
. "$(dirname "$(readlink -f "$0")")/newer.bash"
packages=$1 fill_cache=$2
readonly users=(postfathom postfathom-policyd postfathom-milter)
readonly units=(postfathom-{probed,policyd,milter}.service postfathom-{policyd,milter}.socket)
readonly settings=/etc/postfathom/postfathom.toml cache=/var/lib/postfathom

work=$(mktemp -d /run/package.XXXXXX)
step() { echo "- $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# expect WHAT FOUND EXPECTED
expect() { [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"; }
quietly() { "$@" >"$work/said" 2>&1 || { cat "$work/said"; fail "$*"; }; }

# What differs from the host that was found, but for the books of those who install.
differences() {
  local path
  (cd /run/changes && find . -mindepth 1 \( -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./tmp -o -path ./run \
    -o -path '*/man-db/auto-update' -o -name .pwd.lock -o -path './etc/*-' \) -prune -o -printf '%P\n') |
    while IFS= read -r path; do
      if [ ! -L "/$path" ] && [ ! -e "/$path" ]; then
        echo "gone: /$path"
      elif [ ! -L "/run/host/$path" ] && [ ! -e "/run/host/$path" ]; then
        echo "new: /$path"
      elif [ "$(stat -c '%F %a %U:%G %N' "/$path" | sed "s|'/$path'||")" != "$(stat -c '%F %a %U:%G %N' "/run/host/$path" | sed "s|'/run/host/$path'||")" ] ||
        { [ -f "/$path" ] && ! cmp -s "/$path" "/run/host/$path"; }; then
        echo "changed: /$path"
      fi
    done
  find /var/lib/dpkg /var/log /var/cache -name '*postfathom*' | sed 's/^/new: /'
  dpkg-query -W -f '${Package}\n' | grep -x 'postfathom.*' | sed 's/^/known to dpkg: /' || true
}
postfix_files() { find /etc/postfix -type f -exec md5sum {} + | sort; }

answers() { postfathom status >"$work/said" 2>&1; }
daemon_start() {
  install -d -o postfathom -g postfathom -m 0755 /run/postfathom
  setpriv --reuid=postfathom --regid=postfathom --groups=postfathom,adm --no-new-privs \
    /usr/sbin/postfathom-probed >"$work/daemon.log" 2>&1 &
  daemon=$!
  poll 20 answers || { cat "$work/said" "$work/daemon.log"; fail "postfathom-probed does not answer"; }
}
daemon_end() { kill "$daemon"; wait "$daemon" || fail "postfathom-probed ended with $?"; }
known() { postfathom list --json | jq -c '[.. | .verdict? | objects | .id]'; }

[ ! -e /usr/bin/postfathom ] && [ ! -e "${settings%/*}" ] || { echo "skipped: this host has a Postfathom"; exit 77; }
postfix_before=$(postfix_files)

step "installed: users, directories, units, configuration, manual and completion are there"
quietly dpkg -i "$packages"/postfathom_*.deb "$packages"/postfathom-daemons_*.deb
for user in "${users[@]}"; do
  expect "shell of $user" "$(getent passwd "$user" | cut -d: -f7)" /usr/sbin/nologin
  expect "group of $user" "$(id -gn "$user")" "$user"
done
expect "directory of the sockets" "$(stat -c '%a %U:%G' /var/spool/postfix/run/postfathom)" "2750 postfathom-policyd:postfix"
for unit in "${units[@]}"; do expect "$unit" "$(systemctl is-enabled "$unit")" enabled; done
quietly systemd-analyze verify --man=no "${units[@]/#//lib/systemd/system/}"
expect "configuration files" "$(dpkg-query -W -f '${Conffiles}' postfathom-daemons | awk 'NF { print $1 }')" "$settings"
quietly postfathom config check "$settings"
for page in postfathom.1 postfathom-probed.8 postfathom-policyd.8 postfathom-milter.8 postfathom.toml.5; do
  [ -s "/usr/share/man/man${page##*.}/$page.gz" ] || fail "there is no manual page $page"
done
quietly bash -c '. /usr/share/bash-completion/completions/postfathom && complete -p postfathom'

step "Postfix was not touched"
expect "files of Postfix" "$(postfix_files)" "$postfix_before"

step "the prober runs as its own user and knows what the cache has"
install -d -o postfathom -g postfathom -m 0750 "$cache"
quietly setpriv --reuid=postfathom --regid=postfathom --clear-groups "$fill_cache" "$cache" example.net=pmtu-black-hole
daemon_start
expect "verdicts" "$(known)" '["pmtu-black-hole"]'
daemon_end

step "an upgrade keeps the cache and an edited configuration"
sed -i 's/^level = .*/level = "debug"/' "$settings"
edited=$(md5sum "$settings")
newer_packages "$packages" "$work/newer"
quietly dpkg -i "$work"/newer/*.deb
expect "version" "$(dpkg-query -W -f '${Version}' postfathom-daemons | grep -o '+newer$')" +newer
expect "configuration" "$(md5sum "$settings")" "$edited"
daemon_start
expect "verdicts" "$(known)" '["pmtu-black-hole"]'
daemon_end

step "a removal keeps both"
quietly dpkg --remove postfathom-daemons postfathom
expect "configuration" "$(md5sum "$settings")" "$edited"
[ -n "$(ls -A "$cache")" ] || fail "the cache is gone"
[ ! -e /usr/sbin/postfathom-probed ] || fail "the prober is still there"

step "a purge leaves nothing"
quietly dpkg --purge postfathom-daemons postfathom
expect "differences from before" "$(differences)" ""
expect "files of Postfix" "$(postfix_files)" "$postfix_before"
echo "ok"
