#!/usr/bin/env bash
# Installs what the tests need beyond Go and Node, from Debian's packages: Chromium, Java 17, Maven, Python's venv, curl,
# zstd, protoc. Needs root.
set -euo pipefail
missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v curl >/dev/null || missing+=(curl ca-certificates)
command -v zstd >/dev/null || missing+=(zstd)
command -v protoc >/dev/null || missing+=(protobuf-compiler)
if ((${#missing[@]} == 0)); then
  exit 0
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
