#!/usr/bin/env bash
# One reading in each format. curl ends with an error unless the server says that it is stored.
set -euo pipefail
weir() { curl -sS --fail-with-body "$SERVER_URL/v1/readings$query" -H "Authorization: Bearer $DEVICE_KEY" "$@"; echo; }
query=""

# JSON. curl says application/x-www-form-urlencoded, which declares nothing: the format is recognised.
weir -d '{"metric":"json","value":21.5}'

# SenML, JSON
weir -H 'Content-Type: application/senml+json' -d '[{"n":"senml_json","u":"Cel","v":21.5}]'

# SenML, CBOR: [{0: "senml_cbor", 2: 21.5}]
printf '\x81\xa2\x00\x6asenml_cbor\x02\xf9\x4d\x60' | weir -H 'Content-Type: application/senml+cbor' --data-binary @-

# Influx line protocol. With times in seconds, ?precision=s says so.
query="?precision=s"
weir -H 'Content-Type: application/vnd.influx.line-protocol' --data-binary "influx value=21.5 $(date +%s)"
query=""

# Columns (protobuf); times are microseconds
echo "metrics: 'columns' time_delta: $(date +%s%6N) value: 21.5" |
  protoc -I wire/proto --encode=weir.v1.ReadingBatch weir/v1/records.proto |
  weir -H 'Content-Type: application/x-protobuf' --data-binary @-

# Compressed
echo '{"metric":"gzip","value":21.5}' | gzip | weir -H 'Content-Encoding: gzip' --data-binary @-
echo '{"metric":"zstd","value":21.5}' | zstd -q | weir -H 'Content-Encoding: zstd' --data-binary @-

# Checked only, and not stored
query="?dry_run=true"
weir -d '{"metric":"dry","value":21.5}'
