#!/usr/bin/env bash
# Data of a release, for the test that starts the next one on it: make.sh [COMMIT]. Writes stopped.tar.gz, of a server that
# was stopped in order, and killed.tar.gz, of one that was killed at work; both with an alert open. Needs git, Go and curl.
set -euo pipefail
cd "$(dirname "$0")"
out=$PWD
commit=${1:-$(cat commit)}
work=$(mktemp -d)
server=
finish() {
  [[ -z $server ]] || kill -9 "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
mkdir "$work/source"
git -C "$(git rev-parse --show-toplevel)" archive "$commit" | tar -x -C "$work/source"
(cd "$work/source" && go build -trimpath -o "$work/weir" ./cmd/weir)

address=127.0.0.1:7497
# frame SEQ FIRST COUNT VALUE: readings of one series, a second apart, the newest 10 minutes ago.
frame() {
  local start=$(($(date +%s) - 1000)) readings=() i
  for ((i = $2; i < $2 + $3; i++)); do
    readings+=("{\"metric\":\"temperature\",\"ts\":$((start + i))000000,\"value\":$(($4 + i % 3))}")
  done
  (IFS=, && echo "{\"device\":\"upgrade/press\",\"session\":\"boot\",\"seq\":$1,\"readings\":[${readings[*]}]}")
}
post() {
  curl -fsS -o /dev/null -H "X-API-Key: $(cat data/credentials/local.key)" -H 'Content-Type: application/json' \
    --data-binary @- "http://$address/v1/readings"
}
start() {
  "$work/weir" serve --listen "$address" --data data --set pipeline.checkpoint_period=500ms >log 2>&1 &
  server=$!
  for _ in {1..100}; do curl -fsS -o /dev/null "http://$address/readyz" 2>/dev/null && return; sleep 0.1; done
  cat log >&2
  return 1
}
for how in stopped killed; do
  rm -rf "$work/$how" && mkdir "$work/$how" && cd "$work/$how"
  start
  frame 1 0 300 20 | post
  frame 2 300 8 500 | post
  "$work/weir" simulate --quiet --data data --url "ws://$address/v1/ingest" --devices 3 --metrics 2 --rate 60 --duration 4s
  if [[ $how == stopped ]]; then
    kill -TERM "$server"
  else
    "$work/weir" simulate --quiet --data data --url "ws://$address/v1/ingest" --devices 3 --metrics 2 --rate 600 --duration 4s --seed 2 &
    simulation=$!
    sleep 2
    kill -9 "$server"
    kill -9 "$simulation"
    wait "$simulation" 2>/dev/null || true
  fi
  wait "$server" 2>/dev/null || [[ $how == killed ]]
  server=
  rm -f data/kafka/*lock*
  tar -c --sort=name --owner=0 --group=0 --numeric-owner -C data . | gzip -9n >"$out/$how.tar.gz"
done
echo "$commit" >"$out/commit"
ls -l "$out"/*.tar.gz
