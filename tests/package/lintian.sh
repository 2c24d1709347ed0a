#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lintian(1) finds nothing in the packages, neither errors nor warnings nor overrides:
#   lintian.sh DIRECTORY
set -euo pipefail
command -v lintian >/dev/null || { echo "skipped: lintian is not installed"; exit 77; }
said=$(lintian --allow-root --fail-on error,warning --tag-display-limit 0 --show-overrides "$1"/*.changes) || { echo "$said"; exit 1; }
echo "$said"
[ -z "$said" ]
