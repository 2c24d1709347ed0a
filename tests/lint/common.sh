# SPDX-License-Identifier: Apache-2.0
# What the lint checks share. A check is called with the root of the tree and prints one line for each
# fault, FILE:LINE: what is wrong; status 0 none, 1 some, 77 cannot be checked here.

# The files of the tree, relative to $1: what git tracks, or all where there is no git (a tarball, a
# self-test). A file that is tracked but deleted is left out.
tree_files() {
    local root=$1 file
    if [ -e "$root/.git" ] && command -v git >/dev/null; then
        git -c "safe.directory=$root" -C "$root" ls-files -z
    else
        (cd "$root" && find . -path ./build -prune -o -type f -printf '%P\0')
    fi | sort -z | while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] && printf '%s\n' "$file"
    done
}

cpp_files() { tree_files "$1" | grep -E '\.(cpp|hpp)$'; }

# FILE:LINE:<header> or FILE:LINE:"header" for each #include of the C++ files of $1.
includes() {
    (cd "$1" && cpp_files "$1" | xargs -r -d '\n' awk '
        /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
            sub(/^[ \t]*#[ \t]*include[ \t]*/, "")
            match($0, /^(<[^>]*>|"[^"]*")/)
            print FILENAME ":" FNR ":" substr($0, 1, RLENGTH)
        }')
}

# Reads faults from stdin, prints them, ends the check. It alone decides the status: no pipefail where
# a grep without a match is good news.
finish() {
    local faults
    faults=$(cat)
    [ -z "$faults" ] && exit 0
    printf '%s\n' "$faults"
    exit 1
}
