#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command as root on a copy of this host, in which TREE and BUILD are to be seen where they are. Its files, processes
# and network interfaces are its own; what the command changes is in /run/changes, what it found in /run/host, and all of it
# vanishes at the end.
#   on_host_copy.sh TREE BUILD COMMAND...
set -euo pipefail
tree=$1 build=$2
shift 2
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for a copy of this host"; exit 77; }
command -v systemd-sysusers >/dev/null || { echo "skipped: systemd is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rmdir "$work"' EXIT

# The mounts are gone when the last process of the namespace is.
unshare --mount --pid --fork --kill-child --net --ipc --uts bash -eu -s "$work" "$tree" "$build" "$@" <<'COPY'
work=$1 tree=$2 build=$3
shift 3
root=$work/root
mount -t tmpfs postfathom "$work"
mkdir "$work/changes" "$work/scratch" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$work/changes,workdir=$work/scratch" postfathom "$root" ||
  { echo "skipped: no overlay file system can be mounted here"; exit 77; }
[ -s "$root/var/lib/dpkg/status" ] || { echo "skipped: not all of this host is in one file system"; exit 77; }
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs postfathom "$root/run"
mkdir "$root/run/changes" "$root/run/host"
mount --bind "$work/changes" "$root/run/changes"
mount --bind / "$root/run/host"
mount -o remount,bind,ro "$root/run/host"
for seen in "$tree" "$build"; do
  mkdir -p "$root$seen"
  mount --bind "$seen" "$root$seen"
done
ip link set lo up
# Not each time the manual's index.
rm -f "$root/var/lib/man-db/auto-update"
exec chroot "$root" env -i PATH="/usr/local/sbin:/usr/local/bin:$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive "$@" </dev/null
COPY
