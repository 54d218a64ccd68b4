#!/bin/sh
# Rows, an image and text into a Kymo run with curl alone, as OTLP in JSON. Where to and which run: README.md
set -eu
ENDPOINT=${OTEL_EXPORTER_OTLP_ENDPOINT:-http://localhost:4318}
RUN=$(echo "${OTEL_RESOURCE_ATTRIBUTES:-kymo.run.id=curl_example}" | sed 's/.*kymo\.run\.id=\([^,]*\).*/\1/')

# A number that grows with each record keeps rows of one second apart.
TIME=$(date +%s)000000000

string() { printf '{"key":"%s","value":{"stringValue":"%s"}}' "$1" "$2"; }
int() { printf '{"key":"%s","value":{"intValue":"%s"}}' "$1" "$2"; }

# record EVENT BODY ATTRIBUTES
record() {
  TIME=$((TIME + 1))
  printf '{"timeUnixNano":"%s","severityNumber":9,"eventName":"%s","body":{"stringValue":"%s"},"attributes":[%s]}' \
    "$TIME" "$1" "$2" "$3"
}

# send RECORDS
send() {
  printf '{"resourceLogs":[{"resource":{"attributes":[%s,%s]},"scopeLogs":[{"scope":{"name":"trainer"},"logRecords":[%s]}]}]}' \
    "$(string service.name other-languages)" "$(string kymo.run.id "$RUN")" "$1" |
    curl --fail --silent --show-error --output /dev/null --header 'content-type: application/json' --data-binary @- "$ENDPOINT/v1/logs"
}

ROWS='' STEP=0
while [ "$STEP" -lt 100 ]; do
  LOSS=$(awk "BEGIN { printf \"%.6f\", exp(-$STEP / 30) }")
  ROWS="$ROWS${ROWS:+,}$(record kymo.row '' "$(int kymo.step $STEP),{\"key\":\"train/loss\",\"value\":{\"doubleValue\":$LOSS}}")"
  STEP=$((STEP + 1))
done
send "$ROWS"
PNG=iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNgCGVY9R8AA60B/2f7ygkAAAAASUVORK5CYII=
send "$(record kymo.media '' "$(string kymo.media.name gradient),$(string kymo.media.kind image),$(int kymo.step 99),$(
  string kymo.media.mime_type image/png),{\"key\":\"kymo.media.content\",\"value\":{\"bytesValue\":\"$PNG\"}}")"
send "$(record '' 'training is done' "$(int epochs 1)")"
