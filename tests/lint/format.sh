#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# C++ is written as .clang-format says: format.sh ROOT
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")

if ! command -v clang-format-19 >/dev/null; then
    echo "skipped: clang-format-19 is not installed"
    exit 77
fi
cd "$root" || exit 1
cpp_files "$root" | xargs -r -d '\n' -n 20 -P 2 clang-format-19 --dry-run -Werror 2>&1 |
    { grep -E '(error|warning):' || true; } | finish
