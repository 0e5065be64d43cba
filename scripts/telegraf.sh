#!/usr/bin/env bash
# Builds Telegraf, unmodified, from its module's source: telegraf.sh FILE. `go install` refuses it, as its go.mod replaces a module.
# Only the plugins that the tests need are in it, or it would take several times as long.
set -euo pipefail
version=v1.37.2
plugins=custom,inputs.cpu,inputs.file,inputs.mem,parsers.influx,outputs.http,outputs.websocket
for format in carbon2 cloudevents csv graphite influx json msgpack nowmetric prometheus prometheusremotewrite splunkmetric wavefront; do
  plugins+=,serializers.$format
done
mkdir -p "$(dirname "$1")"
out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
go mod init telegraf-download 2>/dev/null
source=$(go mod download -json "github.com/influxdata/telegraf@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
# A copy, as the module cache is read-only and `go` wants to write beside go.mod.
cp -r "$source" telegraf
chmod -R u+w telegraf
cd telegraf
CGO_ENABLED=0 go build -tags "$plugins" -ldflags "-s -w" -o "$out" ./cmd/telegraf
