#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A copy of this host is booted by systemd in a container, and the packages are installed while it runs: the units as they are
# confined there answer, see Postfix's mail in the journal, tag it, come back when they are killed or hang, and go.
#   booted.sh DIRECTORY_OF_PACKAGES
set -euo pipefail
packages=$(readlink -f "$1")
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for a container"; exit 77; }
for tool in systemd-nspawn postfix jq; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
# shellcheck source=tests/poll.bash
. "$(dirname "$(readlink -f "$0")")/../poll.bash"
# shellcheck source=tests/package/newer.bash
. "$(dirname "$(readlink -f "$0")")/newer.bash"
readonly daemons=(probed policyd milter)

# Its mounts are seen by nobody else, and vanish with it.
[ -n "${BOOTED_MOUNTS:-}" ] || BOOTED_MOUNTS=1 exec unshare --mount "$0" "$@"
work=$(mktemp -d) container='' leader=''
cleanup() {
  [ -z "$container" ] || { kill "$container" 2>/dev/null || true; wait "$container" 2>/dev/null || true; }
  umount -R "$work" 2>/dev/null || true
  rmdir "$work"
}
trap cleanup EXIT
step() { echo "- $*"; }
fail() {
  echo "FAILED: $*"
  if [ -n "$leader" ]; then inside journalctl -b --no-pager -o short-precise -n 60; else cat "$work/console"; fi
  exit 1
}
until_true() { poll "$1" "${@:3}" || fail "after $1 s: $2"; }
inside() { nsenter -t "$leader" -m -u -i -n -p -C -- env -i PATH="$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@" </dev/null; }
quietly() { inside "$@" >"$work/said" 2>&1 || { cat "$work/said"; fail "$*"; }; }

mount -t tmpfs postfathom "$work"
mkdir "$work/changes" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=/,upperdir=$work/changes,workdir=$work/scratch" postfathom "$work/root" ||
  { echo "skipped: no overlay file system can be mounted here"; exit 77; }
[ -s "$work/root/var/lib/dpkg/status" ] || { echo "skipped: not all of this host is in one file system"; exit 77; }
[ ! -e "$work/root/usr/bin/postfathom" ] || { echo "skipped: this host has a Postfathom"; exit 77; }
# An image that others start containers from forbids packages to start services.
rm -f "$work/root/usr/sbin/policy-rc.d" "$work/root/etc/machine-id" "$work/root/var/lib/man-db/auto-update"
: >"$work/root/etc/machine-id"

step "systemd boots"
systemd-nspawn --quiet --register=no --keep-unit --private-network -D "$work/root" --bind-ro="$packages:/run/packages" \
  --bind-ro="$(dirname "$(readlink -f "$0")")/../../contrib:/run/contrib" \
  --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" --boot --console=pipe -- --unit=basic.target </dev/null >"$work/console" 2>&1 &
container=$!
booted() {
  leader=$(pgrep -P "$container" | head -n 1)
  [ -n "$leader" ] && [ "$(inside systemctl is-active basic.target 2>/dev/null)" = active ]
}
poll 120 booted || {
  cat "$work/console"
  ! kill -0 "$container" 2>/dev/null || fail "systemd does not boot in time"
  echo "skipped: no container runs here"
  exit 77
}
quietly systemctl start postfix

step "the packages start the daemons, and each says that it is ready"
quietly /run/contrib/install --packages /run/packages
for word in 'Postfix does not ask Postfathom by smtpd_milters' 'To have Postfix ask Postfathom: postfathom setup'; do
  grep -qF "$word" "$work/said" || { cat "$work/said"; fail "contrib/install ends without \"$word\""; }
done
[ -s "$packages/$(basename "$packages"/postfathom_*.deb)" ] || fail "contrib/install removed packages that are not its own"
active() { [ "$(inside systemctl is-active "$@" | sort -u)" = active ]; }
until_true 30 "a unit is not active" active postfathom-{probed,policyd,milter}.service postfathom-{policyd,milter}.socket
answers() { inside postfathom status >"$work/said" 2>&1; }
until_true 20 "postfathom status" answers
journal() { inside journalctl -b --no-pager -o cat -u "postfathom-$1"; }
confined() { journal "$1" | grep 'confined to: .*Landlock.*seccomp' >/dev/null; }
for daemon in "${daemons[@]}"; do until_true 20 "$daemon does not say how it is confined" confined "$daemon"; done

step "its mail is seen in the journal, and the deferral is tagged"
inside sed -i '/^\[mail_log\]/,/^\[/ s/^source = .*/source = "journal"/' /etc/postfathom/postfathom.toml
quietly systemctl restart postfathom-probed postfathom-policyd
until_true 20 "postfathom status" answers
quietly postconf -e 'default_transport = smtp' 'relayhost = [127.0.0.1]:9' 'mydestination =' 'inet_interfaces = loopback-only'
quietly postfathom setup --apply
quietly systemctl restart postfix
send() { inside sendmail -f me@example.org you@example.net </dev/null; }
tagged() {
  inside postqueue -f
  inside postqueue -j | jq -c 'select(.recipients[].delay_reason // "" | contains("(path: "))' | grep -q .
}
send
until_true 60 "no tagged deferral" tagged
status() { inside postfathom status --json | jq -e "$1" >/dev/null; }
until_true 20 "no delivery is seen" status '.daemon.mail_log.deliveries > 0'

step "killed ones come back, however often"
main_pid() { inside systemctl show -P MainPID "postfathom-$1"; }
back() { local -r now=$(main_pid "$1"); [ "$now" -gt 1 ] && [ "$now" != "$2" ] && active "postfathom-$1"; }
for daemon in "${daemons[@]}"; do
  # systemd gives up on a unit after five starts in ten seconds where it is not told otherwise.
  for _ in {1..7}; do
    before=$(main_pid "$daemon")
    inside kill -9 "$before"
    until_true 20 "$daemon does not come back" back "$daemon" "$before"
  done
done
until_true 20 "postfathom status" answers

step "a configuration that cannot be read is told once, and heals"
quietly cp /etc/postfathom/postfathom.toml /root/good.toml
quietly bash -c 'echo "[probe" >>/etc/postfathom/postfathom.toml'
inside systemctl restart postfathom-probed >"$work/said" 2>&1 || true
ended() {
  [ "$(inside systemctl show -p ExecMainStatus,SubState postfathom-probed | sort | paste -sd ' ')" = 'ExecMainStatus=78 SubState=failed' ]
}
until_true 20 "probed is not ended by its configuration" ended
quietly cp /root/good.toml /etc/postfathom/postfathom.toml
quietly systemctl restart postfathom-probed
until_true 20 "postfathom status" answers

step "one that hangs is ended by the watchdog, and comes back"
for daemon in "${daemons[@]}"; do
  before=$(main_pid "$daemon")
  inside kill -STOP "$before"
  until_true 120 "$daemon hangs on" back "$daemon" "$before"
done

step "a reload keeps them"
all_pids() { local daemon; for daemon in "${daemons[@]}"; do main_pid "$daemon"; done; }
reloaded() { journal "$1" | grep -E 'read again|settings reloaded' >/dev/null; }
until_true 20 "postfathom status" answers
before=$(all_pids)
quietly systemctl reload postfathom-{probed,policyd,milter}
for daemon in "${daemons[@]}"; do until_true 20 "$daemon does not say that it reads its settings" reloaded "$daemon"; done
[ "$(all_pids)" = "$before" ] || fail "a daemon ended: $before became $(all_pids)"

step "an upgrade keeps sockets and verdicts, and loses no request but one that is under way"
newer_packages "$packages" "$work/root/root/newer"
sockets=(/var/spool/postfix/run/postfathom/{policy,dsn,milter}.sock)
cat >"$work/root/root/ask" <<'ASK'
#!/bin/bash
# Asks the policy service again and again; a line for each answer.
while [ ! -e /root/enough ]; do
  answer=$(printf '%s\n' request=smtpd_access_policy protocol_state=RCPT recipient=you@example.net '' |
    socat -t30 - UNIX-CONNECT:/var/spool/postfix/run/postfathom/policy.sock 2>&1 | head -n 1)
  echo "${answer:-closed without an answer}"
done
ASK
known() { inside postfathom list --json | jq -c '[.. | .verdict? | objects | .id]'; }
before=$(inside stat -c %i "${sockets[@]}") verdicts=$(known) pids=$(all_pids)
[ "$verdicts" != '[]' ] || fail "no verdict is known before the upgrade"
inside bash /root/ask >"$work/asked" 2>&1 &
asking=$!
until_true 20 "the policy service does not answer" test -s "$work/asked"
quietly bash -c 'dpkg -i /root/newer/*.deb'
until_true 30 "a unit is not active" active postfathom-{probed,policyd,milter}.service postfathom-{policyd,milter}.socket
until_true 20 "postfathom status" answers
: >"$work/root/root/enough"
wait "$asking"
[ "$(inside stat -c %i "${sockets[@]}")" = "$before" ] || fail "a socket was made anew"
[ "$(known)" = "$verdicts" ] || fail "verdicts: found $(known), expected $verdicts"
[ -z "$(comm -12 <(sort <<<"$pids") <(all_pids | sort))" ] || fail "a daemon was not started again"
# The daemon closes the connection that it has at that moment, of which Postfix makes DUNNO; there is one at a time.
[ "$(grep -vc '^action=' "$work/asked")" -le 1 ] || { sort "$work/asked" | uniq -c; fail "more than one of $(wc -l <"$work/asked") requests went unanswered"; }

step "mail is tagged as before"
quietly postsuper -d ALL
send
until_true 60 "no tagged deferral" tagged

step "nothing was forbidden to them that they need"
inside journalctl -b --no-pager -o short -u 'postfathom-*' >"$work/journal"
grep -q 'postfathom-probed\[' "$work/journal" || fail "the journal has nothing of them"
! grep -E 'status=31/SYS|Failed at step|Operation not permitted|Permission denied' "$work/journal" || fail "see above"

step "purged, nothing of them runs"
quietly postfathom setup --undo
quietly systemctl reload postfix
quietly dpkg --purge postfathom-daemons postfathom
! inside pgrep -a postfathom || fail "see above"
! inside systemctl list-unit-files --no-legend 'postfathom*' | grep . || fail "see above"
echo "ok"
