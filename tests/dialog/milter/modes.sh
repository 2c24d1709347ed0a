#!/usr/bin/env bash
# The milter's modes, and SIGHUP while sessions are under way, with miltertest.
. "$(dirname "$(readlink -f "$0")")/common.sh"
command -v miltertest >/dev/null || skip "miltertest is not installed"

routes='[[route]]
domain = "routed.example.com"
next_hop = "ill.example.org"'
named='[defer]
diagnoses = ["pmtu-black-hole"]
next_hops = ["ill.example.org"]'
run() { miltertest -D socket="unix:$socket" "${@:2}" -s "$here/modes/$1.lua"; }

write_config "$work/milter.sock" observe
"$tool" fill "$work/cache" ill.example.org '[mx1.example.net]'
start_milter
start_notices

lines() { [ "$(grep -c "$1" "$work/milter.log")" -eq "$2" ]; }
check "observe asks for nothing more than recipients" run observe
check "and names an ill next hop once" \
  lines 'info: 4ABC1: its mail goes to ill.example.org: pmtu-black-hole inbound' 1
check "not for each message" lines ': its mail goes to ' 1

write_config "$work/milter.sock" warn
check "SIGHUP is obeyed" read_again
check "warn asks for nothing more either" run observe
check "and names it for each message" lines 'warning: 4ABC[12]: its mail goes to ill.example.org: ' 2

write_config "$work/milter.sock" defer "$named
$routes"
check "SIGHUP is obeyed again" read_again
check "defer refuses what is named, for now" run defer
check "mail from here is tagged and never refused" run not_smtp

# A file with a fault changes nothing, and says where it is.
echo 'mode = [' >>"$work/postfathom.toml"
check "SIGHUP with a broken file is answered" read_again
check "with the fault's place" \
  grep -q "error: reload refused, the settings in force stay: $work/postfathom.toml:[0-9]*:" "$work/milter.log"
check "and the settings stay" run defer
printf '[milter]\nmode = "defer"\n' >"$work/postfathom.toml"
check "SIGHUP with settings that do not go together is answered" read_again
check "with the reason" grep -q 'settings in force stay: .*milter.mode: expected the diagnoses' "$work/milter.log"
check "and the settings stay, still" run defer

write_config "$work/milter.sock" tag
check "back to tag" read_again
write_config "$work/milter.sock" observe
check "a session under way survives SIGHUP" run reload -D reload="kill -HUP $milter_pid; for i in \$(seq 200); do
  [ \$(grep -c 'settings reloaded' $work/milter.log) -ge 4 ] && exit 0; sleep 0.05; done; exit 1"

# However fast they come: libmilter would end at a SIGHUP that reached its own thread.
# ThreadSanitizer runs handlers late, with signals blocked, and so brings just that about.
[ -n "${TSAN_OPTIONS:-}" ] || for _ in $(seq 300); do kill -HUP "$milter_pid"; done
check "many SIGHUPs end nothing" run observe
check "the milter is still the same" kill -0 "$milter_pid"
write_config "$work/elsewhere.sock" observe
socket=$work/milter.sock
check "a changed socket" read_again
check "takes a restart, and says so" grep -q 'take a restart' "$work/milter.log"
check "it ends well" stop_milter
report
