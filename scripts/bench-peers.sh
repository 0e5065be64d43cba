#!/usr/bin/env bash
# Weir's pipeline and Kafka Streams one after the other on one Apache Kafka and the same readings, into
# peers-pipeline.md and .json in RESULTS (bench/results). Needs Java 17 and Maven. Arguments go to bench/peers (-readings, -batch, …).
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in java javac mvn; do
  command -v $tool >/dev/null || { echo "bench-peers.sh: no $tool on PATH; see CONTRIBUTING.md" >&2; exit 1; }
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
kafka=$cache/kafka-4.3.1 streams=$cache/kstreams-4.3.1
fetch() { # fetch POM-DIRECTORY JARS: filled beside and renamed, so that a half-filled directory is never taken for a whole one
  [[ -d $2 ]] && return
  local work
  work=$(mktemp -d -p "$cache")
  mvn -q -B -f "$1/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/libs" >&2
  mv "$work/libs" "$2"
  rmdir "$work"
}
mkdir -p "$cache"
fetch kafka/kafkatest/testdata/kafka "$kafka"
fetch bench/peers/kstreams "$streams"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
javac --release 17 -d "$build/classes" -cp "$streams/*" bench/peers/kstreams/src/main/java/peer/*.java
go build -trimpath -o "$build/weir" ./cmd/weir
go build -o "$build/peers" ./bench/peers
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- '*.go' || echo -dirty)
results=${RESULTS-bench/results}
mkdir -p "$results"
"$build/peers" -weir "$build/weir" -kafka-jars "$kafka" -streams "$build/classes:$streams/*" -commit "$commit" \
  -command "scripts/bench-peers.sh${*:+ $*}" -out "$results/peers-pipeline" "$@"
