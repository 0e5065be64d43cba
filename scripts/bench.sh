#!/usr/bin/env bash
# Micro benchmarks, the end-to-end profiles and the pipeline alone, into bench/results/ with commit, machine and command.
# COUNT (default 3) is how often each micro benchmark runs; compare two files with `go tool -modfile=tools/go.mod benchstat`.
set -euo pipefail
cd "$(dirname "$0")/.."
results=bench/results
mkdir -p "$results"
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- '*.go' || echo -dirty)
stamp="commit: $commit
date: $(date -u +%Y-%m-%dT%H:%MZ)
load before: $(cut -d' ' -f1-3 /proc/loadavg)"

micro="go test -run ^\$ -bench . -benchmem -count ${COUNT:-3} ./telemetry ./wire ./kafka ./auth ./devices ./ingest ./pipeline/... ./push ./app"
echo "== $micro"
{ echo "$stamp"; echo "command: $micro"; $micro; } | tee "$results/micro.txt"

e2e() {
  echo "== weir bench e2e $*" >&2
  # One line per run: what was asked, then what was measured.
  printf '{"commit":"%s","command":"weir bench e2e %s","result":%s}\n' "$commit" "$*" "$(bin/weir bench e2e --json "$@")" |
    tee -a "$results/e2e.jsonl"
}
: > "$results/e2e.jsonl"
e2e --profile frames --rate 200000
e2e --profile frames --rate 200000 --max-hz 0
e2e --profile frames --rate 400000
e2e --profile frames --rate 800000
e2e --profile single --rate 500
e2e --profile single --rate 10000
e2e --profile single --rate 30000
e2e --profile single --rate 150000

: > "$results/pipeline.jsonl"
echo "== weir bench pipeline" >&2
printf '{"commit":"%s","command":"weir bench pipeline","result":%s}\n' "$commit" "$(bin/weir bench pipeline --json)" |
  tee -a "$results/pipeline.jsonl"

: > "$results/push.jsonl"
push() {
  echo "== weir bench push $*" >&2
  printf '{"commit":"%s","command":"weir bench push %s","result":%s}\n' "$commit" "$*" "$(bin/weir bench push --json "$@")" |
    tee -a "$results/push.jsonl"
}
push --cases fanout
push --cases fanout --conns 200 --views 1 --max-hz 20
push --cases memory
push --cases isolation
push --cases glass
