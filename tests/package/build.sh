#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian's source and binary packages of this tree, built into a directory:
#   build.sh TREE DIRECTORY
set -euo pipefail
for tool in dpkg-buildpackage dh; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed (contrib/install-dependencies package)"; exit 77; }
done
rm -rf "$2"
# Nobody keeps them: packed as fast as xz can.
export DPKG_DEB_COMPRESSOR_LEVEL=0
"$1/contrib/install" --build "$2"
