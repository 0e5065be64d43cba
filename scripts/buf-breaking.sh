#!/usr/bin/env bash
# The record formats against the newest release tag, or main's newest commit when there is none: old data must stay readable.
set -euo pipefail
top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
base=$(git -C "$top" describe --tags --abbrev=0 2>/dev/null || git -C "$top" rev-parse HEAD)
if ! git -C "$top" cat-file -e "$base:wire/buf.yaml" 2>/dev/null; then
  echo "buf breaking: $base has no wire/buf.yaml, nothing to compare with"
  exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git -C "$top" archive "$base" wire/buf.yaml wire/proto | tar -x -C "$old"
cd "$top/wire"
go tool -modfile=../tools/go.mod buf breaking --against "$old/wire"
