#!/usr/bin/env bash
# Weir's push and Centrifugo v5.4.9 one after the other, with the same clients and payloads, into peers-push.md and .json in RESULTS
# (bench/results). Centrifugo is built from the Go module proxy, once. Arguments go to bench/peers/centrifugo (-idle, -duration, …).
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
peer=$cache/centrifugo-5.4.9
build=$(mktemp -d)
trap 'chmod -R u+w "$build" && rm -rf "$build"' EXIT
if [[ ! -x $peer ]]; then
  mkdir -p "$cache" "$build/get"
  # Not by go install, which asks the proxy for a list of versions: a module's source builds with its own go.mod and go.sum.
  source=$(cd "$build/get" && go mod init get 2>/dev/null && go mod download -json github.com/centrifugal/centrifugo/v5@v5.4.9 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp -r "$source" "$build/centrifugo"
  chmod -R u+w "$build/centrifugo"
  (cd "$build/centrifugo" && CGO_ENABLED=0 go build -mod=readonly -o "$build/peer" .)
  mv "$build/peer" "$peer"
fi
go build -trimpath -o "$build/weir" ./cmd/weir
go build -o "$build/peers" ./bench/peers/centrifugo
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- '*.go' || echo -dirty)
results=${RESULTS-bench/results}
mkdir -p "$results"
"$build/peers" -weir "$build/weir" -centrifugo "$peer" -commit "$commit" -command "scripts/bench-push-peers.sh${*:+ $*}" -out "$results/peers-push" "$@"
