# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced.

# newer_packages FROM TO: the packages in the directory FROM once more, with a higher version, in the new directory TO.
newer_packages() {
  local package part
  part=$(mktemp -d)
  mkdir "$2"
  for package in "$1"/postfathom_*.deb "$1"/postfathom-daemons_*.deb; do
    dpkg-deb -R "$package" "$part/content"
    sed -i -E 's/^(Version: .*)/\1+newer/; s/(postfathom \(= [^)]*)/\1+newer/' "$part/content/DEBIAN/control"
    dpkg-deb -Znone -b "$part/content" "$2" >/dev/null
    rm -r "$part/content"
  done
  rmdir "$part"
}
