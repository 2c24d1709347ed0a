# SPDX-License-Identifier: Apache-2.0
# A headless Chromium, driven over a pair of pipes (--remote-debugging-pipe: messages of the DevTools protocol, each
# ended by a zero byte). Needs $work and fail(). What it tells unasked goes to $work/told.

browser_pid=
session=
message_id=0

find_browser() {
  browser=${CHROMIUM:-$(command -v chromium || true)}
  [ -x "$browser" ] || { echo "skipped: chromium is not installed"; exit 77; }
}

# call METHOD PARAMS: the answer is in $answer
call() {
  message_id=$((message_id + 1))
  jq -cn --arg method "$1" --argjson params "$2" --argjson id "$message_id" --arg session "$session" \
    '{$id, $method, $params} + if $session == "" then {} else {sessionId: $session} end' | tr '\n' '\0' >&5 ||
    fail "the browser is gone: $(tail -n 3 "$work/browser.log")"
  while IFS= read -r -d '' -t 60 answer <&6; do
    if [ "$(jq '.id' <<<"$answer")" = "$message_id" ]; then
      if jq -e '.error' <<<"$answer" >/dev/null; then fail "$1: $answer"; fi
      return 0
    fi
    printf '%s\n' "$answer" >>"$work/told"
  done
  fail "the browser does not answer to $1: $(tail -n 3 "$work/browser.log")"
}

start_browser() {
  : >"$work/told"
  mkfifo "$work/to_browser" "$work/from_browser"
  # As root there is no sandbox; it shows nothing but our own page.
  HOME=$work "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-extensions \
    --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/profile" \
    --remote-debugging-pipe about:blank 3<"$work/to_browser" 4>"$work/from_browser" >"$work/browser.log" 2>&1 &
  browser_pid=$!
  exec 5>"$work/to_browser" 6<"$work/from_browser"
  call Target.createTarget '{"url": "about:blank"}'
  call Target.attachToTarget "$(jq '{targetId: .result.targetId, flatten: true}' <<<"$answer")"
  session=$(jq -r .result.sessionId <<<"$answer")
  local domain
  for domain in Page Runtime Network Log; do call "$domain.enable" '{}'; done
}

stop_browser() {
  [ -n "$browser_pid" ] || return 0
  # The processes that it started end with the pipe and with it.
  exec 5>&- 6<&-
  kill "$browser_pid" 2>/dev/null || true
  wait "$browser_pid" 2>/dev/null || true
  browser_pid=
}

# js EXPRESSION: its value is in $value
js() {
  call Runtime.evaluate "$(jq -n --arg text "$1" '{expression: $text, returnByValue: true, awaitPromise: true}')"
  if jq -e '.result.exceptionDetails' <<<"$answer" >/dev/null; then fail "the page: $1: $answer"; fi
  value=$(jq -r '.result.result.value' <<<"$answer")
}

# page_has EXPRESSION: waits until it is true
page_has() {
  local deadline=$((SECONDS + 60))
  while [ "$SECONDS" -lt "$deadline" ]; do
    js "Boolean($1)"
    [ "$value" != true ] || return 0
    sleep 0.1
  done
  js 'document.body.innerText'
  fail "not so on the page: $1
$value"
}

# press KEY CODE [TEXT], as a keyboard does
press() {
  local params
  params=$(jq -n --arg key "$1" --argjson code "$2" --arg text "${3:-}" \
    '{$key, code: $key, windowsVirtualKeyCode: $code} + if $text == "" then {} else {$text} end')
  call Input.dispatchKeyEvent "$(jq '.type = "keyDown"' <<<"$params")"
  call Input.dispatchKeyEvent "$(jq '.type = "keyUp" | del(.text)' <<<"$params")"
}
