#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The services of contrib/systemd: what systemd itself says of their confinement, at most 2.0 of its 10, so that whoever
# loosens one sees it here; and the passed sockets are those of the default settings.
set -u
. "$(dirname "$0")/common.sh"
command -v systemd-analyze >/dev/null || { echo "skipped: systemd is not installed"; exit 77; }
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

{
    for name in probed policyd milter; do
        file=contrib/systemd/postfathom-$name.service.in
        unit=$work/postfathom-$name.service
        sed 's|@CMAKE_INSTALL_FULL_SBINDIR@|/usr/sbin|' "$root/$file" >"$unit" || echo "$file: expected a unit, found none"
        systemd-analyze security --offline=true --threshold=20 "$unit" >"$work/said" 2>&1 ||
            echo "$file: expected an exposure of at most 2.0, found: $(tail -n 1 "$work/said")"
        for setting in "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self" NoNewPrivileges=yes CapabilityBoundingSet= ProtectSystem=strict Type=notify WatchdogSec= Restart=always; do
            grep -q "^$setting" "$unit" || echo "$file: expected $setting, found none"
        done
    done
    for name in policyd milter; do
        file=contrib/systemd/postfathom-$name
        # What mail waits for talks to nobody but this host.
        grep -qx 'IPAddressDeny=any' "$root/$file.service.in" || echo "$file.service.in: expected IPAddressDeny=any, found none"
        grep -n '^ListenStream=' "$root/$file.socket" | while IFS=: read -r line setting; do
            grep -qF "\"${setting#*=}\"" "$root/conf/postfathom.toml" ||
                echo "$file.socket:$line: ${setting#*=} is no default of conf/postfathom.toml"
        done
    done
} | finish
