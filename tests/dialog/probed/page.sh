#!/usr/bin/env bash
# The status page in a headless browser, in a network of its own where there is nothing but the loopback interface:
#   page.sh PROBED PLANT-REPORT FILL-CACHE
set -euo pipefail
program=$1
plant=$2
fill=$3

for tool in curl jq unshare ip; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root, for a network of its own"; exit 77; }
. "$(dirname "$0")/browser.bash"
find_browser
if [ -z "${PAGE_ALONE:-}" ]; then
  unshare --net true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
  PAGE_ALONE=1 exec unshare --net "$0" "$@"
fi
ip link set lo up

work=$(mktemp -d)
pid=
cleanup() {
  stop_browser
  if [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
  rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
}
trap cleanup EXIT

fail() {
  echo "FAILED: $1"
  for file in log told; do echo "--- $file"; tail -n 20 "$work/$file" 2>/dev/null || true; done
  exit 1
}

readonly page=http://127.0.0.1:9477/
cat >"$work/postfathom.toml" <<TOML
[cache]
directory = "$work/cache"
[notice]
socket = "$work/notice.sock"
[mail_log]
file = "$work/mail.log"
[admin]
socket = "$work/admin.sock"
http_port = 9477
TOML

ask() { curl -sS --max-time 60 --unix-socket "$work/admin.sock" "$@"; }
start() {
  "$program" -c "$work/postfathom.toml" >>"$work/log" 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    if ask http://localhost/healthz >/dev/null 2>&1; then return 0; fi
    kill -0 "$pid" 2>/dev/null || fail "the daemon ended at its start"
    sleep 0.05
  done
  fail "the daemon does not answer"
}

# What a server may say in its greeting, its certificate and its name: all of it would run where it became markup.
readonly hostile='<script>window.hacked=1</script><img src=x onerror="window.hacked=2"><svg onload=window.hacked=3>'
mkdir "$work/cache"
jq -n --arg text "$hostile" '
  {schema: 1, destination: "hostile.example.net", tls_floor: "encrypt", held_back: [],
   endpoints: [{address: "127.0.0.2", port: 25, service: "smtp", name: $text, measured_at: $text,
     vantage: {source: "127.0.0.1", interface: $text},
     path_mtu: {inbound: 1400, inbound_exact: true, outbound: 1480, outbound_exact: false},
     handshake: {outcome: "stalled", protocol: $text, cipher: $text, reply: ("220 " + $text), tls_error: $text,
       certificate: {subject: ("CN=" + $text), issuer: $text, names: [$text, "javascript:window.hacked=4"], not_after: $text}},
     diagnosis: {id: "pmtu-black-hole", severity: "critical", summary: $text, ruled_out: [$text]},
     notes: [{id: "x", text: $text}]}],
   diagnosis: {id: "pmtu-black-hole", severity: "critical", summary: $text},
   suggestions: [{kind: "route", why: $text, scope: $text, commands: ["ip route replace 127.0.0.2 dev lo mtu 1400 # " + $text],
     verify: $text, undo: [$text], expected: $text, risk: $text, proven: true, proof: $text, tls_floor: "encrypt",
     files: [{file: $text, lines: [$text], needed: true}]},
    {kind: "chain", form: "letter", why: "for them", commands: ["Dear postmaster"], verify: [], undo: [], proven: false}]}' |
  "$plant" "$work/cache" hostile.example.net 127.0.0.2 "$hostile" 'eth"><script>' || fail "nothing planted"
"$fill" "$work/cache" well.example.org=healthy ill.example.org=peer-stall doubt.example.com=healthy || fail "nothing stored"
start

# Before any browser: the policy, and that each reader has a nonce of its own.
curl -sS -D "$work/head" -o "$work/body" "$page" || fail "no page at $page"
grep -qi "^content-type: text/html; charset=utf-8" "$work/head" || fail "content type: $(cat "$work/head")"
policy=$(grep -i '^content-security-policy:' "$work/head")
for part in "default-src 'none'" "base-uri 'none'" "form-action 'none'" "frame-ancestors 'none'"; do
  [[ $policy == *"$part"* ]] || fail "the policy lacks $part: $policy"
done
[[ $policy != *unsafe* && $policy != *http* ]] || fail "the policy allows too much: $policy"
[ "$policy" != "$(curl -sS -D - -o /dev/null "$page" | grep -i '^content-security-policy:')" ] || fail "the nonce is always the same"
if grep -q '@NONCE@' "$work/body"; then fail "a nonce is missing"; fi
if grep -qE '[[:space:]]on[a-z]+=|https?://' <(grep -v 'http://www.w3.org/2000/svg' "$work/body"); then fail "inline handlers or addresses in the page"; fi
cmp -s <(sed 's/nonce="[0-9a-f]*"//' "$work/body") <(ask http://localhost/ | sed 's/nonce="[0-9a-f]*"//') || fail "the socket has another page"

start_browser
row() { echo "[...document.querySelectorAll('#rows th button')].find(one => one.textContent === '$1')"; }
readonly names="[...document.querySelectorAll('#rows th button')].map(one => one.textContent).join()"

# It loads: ill ones first, with sizes and charts, and nothing of what servers say has become markup.
call Page.navigate "{\"url\": \"$page\"}"
page_has "document.getElementById('live')?.textContent === 'Live'"
page_has "$names === 'hostile.example.net,ill.example.org,doubt.example.com,well.example.org'"
page_has "document.querySelector('#rows tr').innerText.includes('pmtu-black-hole')"
page_has "document.querySelector('#rows tr').children[2].textContent === '1400'"
page_has "document.querySelector('#rows tr').children[3].textContent === 'at least 1480'"
page_has "document.querySelectorAll('#rows tr')[0].querySelectorAll('svg[role=img] rect').length === 2"
js "document.querySelector('#rows svg').getAttribute('aria-label')"
[[ $value == healthy*pmtu-black-hole* ]] || fail "the chart says: $value"

# It filters, by what is typed and by what is chosen.
js "document.getElementById('filter-name').focus()"
call Input.insertText '{"text": "ILL.ex"}'
page_has "$names === 'ill.example.org'"
page_has "document.getElementById('count').textContent === '1 of 4'"
js "document.getElementById('filter-name').select()"
press Backspace 8
page_has "$names.split(',').length === 4"
choose() { js "{ const one = document.getElementById('$1'); one.value = '$2'; one.dispatchEvent(new Event('input', {bubbles: true})); }"; }
choose filter-state well
page_has "$names === 'doubt.example.com,well.example.org'"
choose filter-state ''
choose filter-diagnosis peer-stall
page_has "$names === 'ill.example.org'"
choose filter-diagnosis ''
page_has "$names.split(',').length === 4"

# By the keyboard alone: from the last of the filters one step leads to the first destination, and Enter opens it.
js "document.getElementById('filter-diagnosis').focus()"
press Tab 9
page_has "document.activeElement === $(row hostile.example.net)"
press Enter 13 $'\r'
page_has "document.activeElement.getAttribute('aria-expanded') === 'true'"
page_has "document.querySelector('.detail').textContent.includes('Suggestions, best first')"
page_has "document.querySelector('.detail').textContent.includes('220 <script>window.hacked=1</script>')"
page_has "document.querySelector('.detail').textContent.includes('CN=<script>')"
page_has "document.querySelector('.detail details summary').textContent.startsWith('route, proven: <script>')"
page_has "document.querySelector('.detail pre').textContent.includes('ip route replace 127.0.0.2 dev lo mtu 1400')"
page_has "document.querySelectorAll('.detail svg path').length === 2"
page_has "document.querySelectorAll('.detail details')[1].textContent.includes('Letter to the operator of the serverDear postmaster')"
page_has "!document.querySelector('.detail').textContent.includes('[object')"
js "document.querySelectorAll('img, iframe, object, a[href^=javascript], #rows script, #rows [onload], #rows [onerror]').length"
[ "$value" = 0 ] || fail "$value elements were made of what a server said"

# It is kept up to date, and the keyboard stays where it is.
answered=$(ask -d '{"destination": "[127.0.0.3]:9", "wait": true}' http://localhost/v1/probe)
[ "$(jq -r .verdict.id <<<"$answered")" = refused ] || fail "probe: $answered"
page_has "$(row '[127.0.0.3]:9')?.closest('tr').innerText.includes('refused')"
page_has "document.getElementById('events').textContent.includes('[127.0.0.3]:9')"
page_has "document.getElementById('facts').textContent.includes('5 destinations')"
page_has "document.activeElement === $(row hostile.example.net)"
ask -X DELETE http://localhost/v1/destinations/ill.example.org >/dev/null
page_has "!($(row ill.example.org))"
press Enter 13 $'\r'
page_has "!document.querySelector('.detail')"

# A table for those who hear it, on a phone as well; nothing to be pushed sideways, all controls named, and dark at night.
call Emulation.setDeviceMetricsOverride '{"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true}'
press Enter 13 $'\r'
page_has "document.querySelector('.detail')"
js "document.documentElement.scrollWidth"
[ "$value" -le 360 ] || fail "the page is $value wide on a phone"
call Accessibility.getFullAXTree '{}'
jq -e '[.result.nodes[].role.value] | [index("table"), index("rowheader"), index("columnheader"), index("main")] | all' \
  <<<"$answer" >/dev/null || fail "no table is left on a phone"
js "[...document.querySelectorAll('input, select')].every(one => one.labels.length === 1) && [...document.querySelectorAll('button')].every(one => one.textContent.trim())"
[ "$value" = true ] || fail "a control has no name"
js "getComputedStyle(document.body).backgroundColor"
day=$value
call Emulation.setEmulatedMedia '{"features": [{"name": "prefers-color-scheme", "value": "dark"}]}'
js "getComputedStyle(document.body).backgroundColor"
[ "$day" = "rgb(255, 255, 255)" ] && [ "$value" != "$day" ] || fail "by day $day, at night $value"

# The daemon may go and come.
kill "$pid"; wait "$pid" || true
page_has "document.getElementById('live').textContent.startsWith('Not connected')"
js "$names.split(',').length"
[ "$value" = 4 ] || fail "what was known is gone with the daemon"
start
page_has "document.getElementById('live').textContent === 'Live'"

# Nobody else was asked, nothing was refused by the policy, nothing threw.
jq -r 'select(.method == "Network.requestWillBeSent") | .params.request.url' "$work/told" | sort -u >"$work/asked"
grep -q "^${page}v1/events" "$work/asked" || fail "the requests were not seen"
if grep -v -e "^$page" -e '^about:' -e '^data:,$' "$work/asked"; then fail "the page asked others"; fi
trouble=$(jq -c 'select(.method == "Runtime.exceptionThrown" or .method == "Page.javascriptDialogOpening"
  or (.method == "Log.entryAdded" and .params.entry.source == "security"))' "$work/told")
[ -z "$trouble" ] || fail "$trouble"

# Were there a hole in the page, the policy would close it.
js "{ const one = document.createElement('script'); one.textContent = 'window.hacked = 5'; document.body.append(one);
      document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=6\">'); }"
js "new Promise(resolve => setTimeout(resolve, 200)).then(() => typeof window.hacked)"
[ "$value" = undefined ] || fail "a script that is not ours has run"
echo "all well"
