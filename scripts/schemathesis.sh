#!/usr/bin/env bash
# Asks a running server everything that schemathesis makes of its OpenAPI document, right and wrong, always the same. Fails on a status of 500,
# on statuses, headers, content types and bodies that are not documented, on methods that are not, and on operations that are to be had
# without the credentials they need. WEIR_BIN is the server; schemathesis itself is kept in .cache.
set -euo pipefail
cd "$(dirname "$0")/.."
weir=${WEIR_BIN:-$PWD/bin/weir}
venv=$PWD/.cache/schemathesis
e2e=$PWD/e2e
requirements=$e2e/schemathesis-requirements.txt

if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$venv/requirements.txt"
fi

work=$(mktemp -d)
server=
finish() {
  status=$?
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  if ((status != 0)); then
    echo "--- the server's log" >&2
    tail -n 50 "$work/log" >&2 || true
  fi
  rm -rf "$work"
}
trap finish EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
# Credentials that are made up count as failed attempts to sign in.
"$weir" serve --listen "127.0.0.1:$port" --data "$work/data" --partitions 1 --log-level warn --set auth.failed_attempts=100000 >"$work/log" 2>&1 &
server=$!
ready() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/readyz", timeout=5)' "$url" 2>/dev/null; }
for _ in $(seq 150); do
  ready && break
  kill -0 "$server" 2>/dev/null || exit 1
  sleep 0.2
done
ready || { echo "the server did not become ready" >&2; exit 1; }

# Tokens, as nothing that is made up ends them: keys are listed, and revoked by their id.
token() {
  env -u WEIR_TOKEN "$weir" token create "$1" -q --url "$url" --data "$work/data" --role device,viewer,operator,admin --read '#' --write '#'
}
WEIR_TOKEN=$(token schemathesis)
last=$(token last)
export WEIR_TOKEN

# ask METHOD PATH [BODY] is for what schemathesis does not do; the status may be any.
ask() {
  python3 - "$url" "$@" <<'PYTHON'
import os, sys, urllib.error, urllib.request
url, method, path = sys.argv[1:4]
body = sys.argv[4].encode() if len(sys.argv) > 4 else None
request = urllib.request.Request(url + path, body, {"Authorization": "Bearer " + os.environ["WEIR_TOKEN"], "Content-Type": "application/json"}, method=method)
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as e:
    print(e.code)
PYTHON
}
# The dead letter 0-0, which the document names as its example.
[[ $(ask POST /v1/readings '{"device":"plant1/press7","metric":"m","value":"x"}') == 422 ]]

run() {
  (cd "$work" && SCHEMATHESIS_HOOKS="$e2e/schemathesis_hooks.py" PYTHONDONTWRITEBYTECODE=1 \
    "$venv/bin/st" --config-file "$e2e/schemathesis.toml" run "$url/v1/openapi.json" "$@")
}
failed=0
# A stream of events does not end; its tests are push's.
run --exclude-operation-id signOut --exclude-operation-id revoke --exclude-operation-id streamEvents || failed=1
if [[ $(ask GET /v1/session) != 200 ]]; then
  echo "the credentials ended during the run, which has asked for nothing from then on" >&2
  failed=1
fi
# What ends credentials comes last, with credentials of its own.
WEIR_TOKEN=$last
run --include-operation-id signOut --include-operation-id revoke || failed=1
exit $failed
