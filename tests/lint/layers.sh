#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Includes say where a thing lives, from the root; they point down the layers; the programs stay apart;
# heavy headers are compiled in one place each: layers.sh ROOT
set -u
. "$(dirname "$0")/common.sh"
root=$(realpath "$1")

# The order of the layers is written once, in the top-level CMakeLists.txt.
declare -A layer=()
count=0
while read -r name; do
    layer[$name]=$((++count))
done < <(sed -nE 's/^add_subdirectory\(lib\/([a-z_]+)\).*/\1/p' "$root/CMakeLists.txt")
if [ "$count" -lt 2 ]; then
    echo "CMakeLists.txt:1: expected the layers as add_subdirectory(lib/NAME) lines, found $count"
    exit 1
fi

# Who may include a heavy header: a regular expression of headers, one of files.
heavy=(
    '^boost/beast'      '^(probes/(admin_server|https_answer)|lib/net/admin_client)\.cpp$'
    '^CLI/'             '^(cli|probes|policyd|milter)/main\.cpp$'
    '^toml(\+\+|\.hpp)' '^lib/config/load\.cpp$'
    '^spdlog/'          '^lib/base/log\.cpp$'
)

check_heavy() {
    local at=$1 file=$2 header=$3 i
    case $file in tests/*) return ;; esac
    for ((i = 0; i < ${#heavy[@]}; i += 2)); do
        [[ $header =~ ${heavy[i]} ]] && ! [[ $file =~ ${heavy[i + 1]} ]] &&
            echo "$at: <$header> is heavy; expected only in ${heavy[i + 1]}"
    done
}

# What a folder may include besides lib/; others may include their own.
declare -A neighbours=([lib]="" [cli]="cli probes" [tests]="tests cli probes policyd milter")

check_layer() {
    local at=$1 file=$2 header=$3
    local from=${file%%/*} to=${header%%/*}
    if [ "$to" != lib ]; then
        [[ " ${neighbours[$from]-$from} " == *" $to "* ]] ||
            echo "$at: $from may not include \"$header\""
        return
    fi
    [ "$from" = lib ] || return
    local own=${file#*/} other=${header#*/}
    own=${own%%/*} other=${other%%/*}
    if [ -z "${layer[$own]:-}" ] || [ -z "${layer[$other]:-}" ]; then
        echo "$at: lib/$own or lib/$other is no layer of the top-level CMakeLists.txt"
    elif [ "${layer[$other]}" -gt "${layer[$own]}" ]; then
        echo "$at: lib/$own lies below lib/$other and may not include \"$header\""
    fi
}

includes "$root" | while IFS= read -r entry; do
    file=${entry%%:*}
    rest=${entry#*:}
    at=$file:${rest%%:*}
    written=${rest#*:}
    header=${written:1:-1}
    case $written in
        '"'*)
            if [ ! -f "$root/$header" ]; then
                echo "$at: expected a path from the root of the tree, found $written"
            else
                check_layer "$at" "$file" "$header"
            fi
            ;;
        *)
            [ -f "$root/$header" ] && echo "$at: our own header; expected \"$header\""
            check_heavy "$at" "$file" "$header"
            ;;
    esac
done | finish
