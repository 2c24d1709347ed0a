#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every lint check finds what it is for: bad examples are planted in a temporary tree, one at a time, and
# the check has to fail and to name the place. A clean tree has to pass. selftest.sh PLANTED-PROGRAM
set -u -o pipefail
here=$(dirname "$(realpath "$0")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

note() {
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "${@:2}"
    fi
}

# expect STATUS TEXT CHECK ARGUMENT...: the check ends with STATUS and prints a line with TEXT.
expect() {
    local status=$1 text=$2 output found
    shift 2
    output=$(bash "$here/$1.sh" "${@:2}" 2>&1)
    found=$?
    if [ "$found" -ne "$status" ]; then
        note bad "$* : expected status $status, found $found; expected \"$text\"" "$output"
    elif [ -n "$text" ] && ! grep -qF -- "$text" <<<"$output"; then
        note bad "$* : expected a line with \"$text\"" "$output"
    else
        note ok
    fi
}

fresh_tree() {
    rm -rf "${tree:?}"/*
    planted=()
    mkdir -p "$tree"/lib/{base,destination,diagnosis,mail_log,config,net} \
        "$tree"/{probes,milter,policyd,cli,tests/lint,docs}
    printf 'add_subdirectory(lib/%s)\n' base destination mail_log diagnosis config net >"$tree/CMakeLists.txt"
    echo '#pragma once' >"$tree/lib/base/text.hpp"
    echo '#pragma once' >"$tree/lib/base/log.hpp"
    echo '#pragma once' >"$tree/lib/net/notice.hpp"
    echo '#pragma once' >"$tree/probes/engine.hpp"
    echo '#pragma once' >"$tree/milter/envelope.hpp"
    printf '#include "lib/base/text.hpp"\n' >"$tree/lib/diagnosis/clean.cpp"
    printf '#include <arpa/inet.h>\n' >"$tree/lib/destination/ip_address.cpp"
    printf '#include <CLI/CLI.hpp>\n\n#include "probes/engine.hpp"\n' >"$tree/cli/main.cpp"
    cp "$here/../../.clang-format" "$tree/"
}

# plant FILE TEXT: the line TEXT in FILE, and what must be said of it.
planted=()
plant() {
    mkdir -p "$(dirname "$tree/$1")"
    printf '%s\n' "$2" >>"$tree/$1"
    planted+=("$1:$(grep -c '' "$tree/$1"):")
}
# named CHECK: it fails, and names each of the lines that were planted since the last fresh_tree.
named() {
    local output line
    output=$(bash "$here/$1.sh" "$tree" 2>&1)
    [ $? -eq 1 ] && [ "${#planted[@]}" -gt 0 ] && note ok || note bad "$1: expected status 1" "$output"
    for line in "${planted[@]}"; do
        if grep -qF -- "$line" <<<"$output"; then
            note ok
        else
            note bad "$1: expected a line with \"$line\"" "$output"
        fi
    done
}

fresh_tree
for check in layers purity weaker_tls; do expect 0 "" "$check" "$tree"; done

if command -v clang-format-19 >/dev/null; then
    expect 0 "" format "$tree"
    plant lib/base/ugly.cpp 'int   main( ){return 0;}'
    named format
else
    expect 77 "clang-format-19" format "$tree"
fi

fresh_tree
# An include from its own folder, a missing one, one of ours in <>.
plant lib/base/text.cpp '#include "text.hpp"'
plant lib/base/text.cpp '#include "../base/text.hpp"'
plant lib/base/text.cpp '#include <lib/base/text.hpp>'
# Up the layers, and out of the library.
plant lib/diagnosis/up.cpp '#include "lib/net/notice.hpp"'
plant lib/net/out.cpp '#  include "probes/engine.hpp"'
# From one program into another.
plant policyd/main.cpp '#include "probes/engine.hpp"'
plant milter/main.cpp '#include "probes/engine.hpp"'
plant policyd/main.cpp '#include "milter/envelope.hpp"'
plant probes/main.cpp '#include "milter/envelope.hpp"'
plant cli/main.cpp '#include "milter/envelope.hpp"'
# Heavy headers in the wrong place.
plant probes/engine.cpp '#include <boost/beast/http.hpp>'
plant cli/probe_command.cpp '#include <CLI/CLI.hpp>'
plant lib/config/settings.cpp '#include <toml++/toml.h>'
plant lib/net/notice.cpp '#include <spdlog/spdlog.h>'
named layers
# A tree whose layers cannot be read proves nothing.
fresh_tree
: >"$tree/CMakeLists.txt"
expect 1 "CMakeLists.txt:1: " layers "$tree"

fresh_tree
for header in '<sys/socket.h>' '<netinet/in.h>' '<ctime>' '<fstream>' '<thread>' '<openssl/ssl.h>' \
    '<boost/asio/io_context.hpp>' '"lib/base/log.hpp"' '"lib/net/notice.hpp"'; do
    plant lib/diagnosis/diagnose.cpp "#include $header"
done
for file in lib/destination/next_hop.cpp lib/mail_log/lines.cpp lib/mail_log/lines.hpp \
    probes/path_mtu_search.cpp probes/schedule.hpp milter/envelope.hpp; do
    plant "$file" '#include <sys/socket.h>'
done
plant lib/diagnosis/diagnose.cpp '#include <arpa/inet.h>'
plant lib/diagnosis/diagnose.cpp 'auto now = wall_now();'
plant probes/schedule.cpp 'auto now = std::chrono::steady_clock::now();'
plant probes/schedule.cpp 'auto now = std::time(nullptr);'
plant lib/diagnosis/diagnose.cpp 'log::info("found");'
named purity
# By a detour over a header of ours, and only a comment, which is no call.
fresh_tree
echo '#include <sys/socket.h>' >>"$tree/lib/base/text.hpp"
expect 1 "lib/base/text.hpp:2: lib/diagnosis/clean.cpp has to stay pure" purity "$tree"
fresh_tree
echo '// not wall_now()' >>"$tree/lib/diagnosis/clean.cpp"
expect 0 "" purity "$tree"

# A unit that is loosened, and a socket that the settings do not have.
if command -v systemd-analyze >/dev/null; then
    units_tree() {
        fresh_tree
        mkdir -p "$tree/contrib" "$tree/conf"
        cp -r "$here/../../contrib/systemd" "$tree/contrib/"
        cp "$here/../../conf/postfathom.toml" "$tree/conf/"
    }
    units_tree
    expect 0 "" units "$tree"
    sed -i "/^Protect\\|^SystemCallFilter\\|^Restrict\\|^Private/d" "$tree/contrib/systemd/postfathom-probed.service.in"
    expect 1 "postfathom-probed.service.in: expected an exposure of at most 2.0" units "$tree"
    units_tree
    sed -i /IPAddressDeny/d "$tree/contrib/systemd/postfathom-milter.service.in"
    expect 1 "postfathom-milter.service.in: expected IPAddressDeny=any" units "$tree"
    units_tree
    echo ListenStream=/run/other.sock >>"$tree/contrib/systemd/postfathom-milter.socket"
    expect 1 "/run/other.sock is no default" units "$tree"
fi

# A program that links OpenSSL or holds the engine; one that is not there.
if [ -n "${1:-}" ]; then
    expect 1 "may not need libssl" programs "$1"
    expect 1 "may not hold probing code" programs "$1"
fi
expect 1 "found none" programs "$tree/nothing"

# Each in a file of its own: what stands on a line may belong to the one before.
fresh_tree
while IFS= read -r line; do plant "docs/advice${#planted[@]}.md" "$line"; done <"$here/planted_weaker_tls"
named weaker_tls
# A value on the next line.
fresh_tree
printf 'smtp_tls_security_level =\n    none\n' >"$tree/docs/main.cf"
expect 1 "docs/main.cf:2: level-off" weaker_tls "$tree"
# Plain English and sound advice pass.
fresh_tree
cat >"$tree/docs/sound.md" <<'END'
There is none. Of these hosts none answered; mail.example.org has none of them.
example.org encrypt
[mail.example.org]:587 secure match=mail.example.org
smtp_tls_security_level = dane
smtp_tls_protocols = >=TLSv1.2
smtp_tls_mandatory_protocols = >=TLSv1.3
250-STARTTLS
mail.example.org: STARTTLS is offered
ip route replace 192.0.2.1 via 198.51.100.1 mtu 1400
END
expect 0 "" weaker_tls "$tree"

# A diagnosis without its rule, its test or its line in the table.
diagnosed_tree() {
    fresh_tree
    mkdir -p "$tree/tests/unit/diagnosis"
    printf '    {DiagnosisId::no_route, "no-route"},\n' >"$tree/lib/diagnosis/diagnosis.cpp"
    echo 'return DiagnosisId::no_route;' >"$tree/lib/diagnosis/dialog_rules.cpp"
    echo 'CHECK(found == "no-route");' >"$tree/tests/unit/diagnosis/dialog_test.cpp"
    echo '| `refused`, `no-route` | somebody said so | 0.99 |' >"$tree/docs/architecture.md"
}
diagnosed_tree
expect 0 "" diagnoses "$tree"
: >"$tree/lib/diagnosis/dialog_rules.cpp"
expect 1 "lib/diagnosis/diagnosis.cpp:1: no rule says no-route" diagnoses "$tree"
diagnosed_tree
: >"$tree/tests/unit/diagnosis/dialog_test.cpp"
expect 1 "lib/diagnosis/diagnosis.cpp:1: no unit test knows no-route" diagnoses "$tree"
diagnosed_tree
echo '| `no-route` | somebody said so | |' >"$tree/docs/architecture.md"
expect 1 "no line with what no-route says and its confidence" diagnoses "$tree"
fresh_tree
expect 1 "found no diagnosis" diagnoses "$tree"

# A guide to the tree.
guided_tree() {
    fresh_tree
    mkdir -p "$tree/docs" "$tree/lib/rules"
    echo 'struct Finding { }; Finding judge(int);' >"$tree/lib/rules/judge.hpp"
    echo 'In `lib/rules/judge.hpp` is `judge()`, which says a `Finding`.' >"$tree/docs/contributing.md"
}
guided_tree
expect 0 "" guides "$tree"
echo 'Look into `lib/rules/judges.hpp`.' >>"$tree/docs/contributing.md"
expect 1 "docs/contributing.md:2: there is no lib/rules/judges.hpp" guides "$tree"
guided_tree
sed -i 's/judge(int)/decide(int)/' "$tree/lib/rules/judge.hpp"
expect 1 "docs/contributing.md:1: there is no function judge()" guides "$tree"
guided_tree
sed -i 's/Finding/Outcome/g' "$tree/lib/rules/judge.hpp"
expect 1 "docs/contributing.md:1: there is no type Finding" guides "$tree"
fresh_tree
expect 1 "found nothing to check" guides "$tree"

# A page of faults, and the tests that it names.
faults_tree() {
    fresh_tree
    mkdir -p "$tree"/tests/{unit,dialog/faults}
    echo 'TEST_CASE("what was lost is found") {}' >"$tree/tests/unit/a_test.cpp"
    echo 'postfathom_fault_test(kills 60 "a killed one comes back")' >"$tree/tests/dialog/faults/CMakeLists.txt"
    printf '| %s |\n' 'fault | logged | degrades | heals | test' '--- | --- | --- | --- | ---' \
        'a loss | nothing | all | by itself | `what was lost is found`' \
        'a kill | nothing | all | by itself | `a killed one comes back`' >"$tree/docs/faults.md"
}
faults_tree
expect 0 "" faults "$tree"
: >"$tree/tests/unit/a_test.cpp"
expect 1 'docs/faults.md:3: there is no test "what was lost is found"' faults "$tree"
faults_tree
sed -i '$d' "$tree/docs/faults.md"
expect 1 'tests/dialog/faults/CMakeLists.txt:1: "a killed one comes back" has no row' faults "$tree"
faults_tree
echo '| a fault | `what was lost is found` |' >>"$tree/docs/faults.md"
expect 1 "docs/faults.md:5: expected five columns" faults "$tree"
faults_tree
echo '| a fault | nothing | all | by itself | none |' >>"$tree/docs/faults.md"
expect 1 "docs/faults.md:5: expected a test's name" faults "$tree"
rm "$tree/docs/faults.md"
expect 1 "found none" faults "$tree"

# The allow list: what it excuses, and what it may not.
excuse() {
    fresh_tree
    mkdir -p "$tree/tests/unit" "$tree/tests/lab"
    sed -n 's/^example.org none$/&/p' "$here/planted_weaker_tls" | tee "$tree/tests/unit/a.cpp" \
        >"$tree/tests/lab/main.cf"
    [[ $3 == tests/lab/* ]] || rm "$tree/tests/lab/main.cf"
    [[ $3 == tests/lab/* ]] && rm "$tree/tests/unit/a.cpp"
    printf '%s\n' "$3" >"$tree/tests/lint/weaker_tls_allowed"
    expect "$1" "$2" weaker_tls "$tree"
}
excuse 0 "" 'tests/unit/a.cpp|policy-off|example.org|a negative test'
excuse 1 "expected FILE|PATTERN|TEXT|REASON" 'tests/unit/a.cpp|policy-off|example.org| '
excuse 1 "'*' is for the lint's own files" 'tests/unit/a.cpp|policy-off|*|a negative test'
excuse 1 "tests/unit/a.cpp:1: policy-off" 'tests/unit/b.cpp|policy-off|example.org|another file'
excuse 1 "nothing needs this exception" 'tests/unit/a.cpp|mtu-lock|example.org|another pattern'
excuse 1 "there are no exceptions" 'tests/lab/main.cf|policy-off|example.org|the lab'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 80 ]
