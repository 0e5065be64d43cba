#!/usr/bin/env bash
# The main job on one machine: server with the embedded broker, 50 simulated devices, this host's metrics.
# DATA (default ./data), LISTEN (default 127.0.0.1:7420), DEVICES (50) and RATE (readings/s, 2000) may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
weir=bin/weir
listen=${LISTEN:-127.0.0.1:7420}
pids=()
stop() {
  trap - EXIT INT TERM
  # The fleet first, so that what it still has in flight is receipted; then the server drains.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -INT "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

"$weir" serve --listen "$listen" --data "${DATA:-data}" &
pids+=($!)
for _ in $(seq 1 100); do
  kill -0 "${pids[0]}" 2>/dev/null || { wait "${pids[0]}"; exit 1; }
  # The key is what the fleet signs in with.
  if [[ -s ${DATA:-data}/credentials/local.key ]] && (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then break; fi
  sleep 0.1
done
"$weir" simulate --data "${DATA:-data}" --url "ws://$listen/v1/ingest" --devices "${DEVICES:-50}" --rate "${RATE:-2000}" --faults --host --quiet &
pids+=($!)
printf '\n  Sign in to the dashboard with the link above. Ctrl-C stops everything.\n\n'
wait -n
