#!/usr/bin/env bash
# Runs every fuzz target of the tree for the given time, one after the other; stops at the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(go list ./...); do
  listed=$(go test -list '^Fuzz' "$pkg") # fails for a package that does not build, which would be left out else
  for target in $(grep '^Fuzz' <<<"$listed" || true); do
    echo "== $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "$pkg"
  done
done
