#!/usr/bin/env bash
# The service on this machine, from the first draft to the last: scripts/demo-cloud.sh BUILD-FOLDER OUTPUT.png
# Starts tintype-service, drafts at 256 and lets it sharpen; then stops the service while a picture waits in its queue,
# and this device's own network finishes. MODEL and PROMPT come from the environment.
set -euo pipefail
build=$1
output=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/tintype-demo.XXXXXX")
service=

# Ends what was started here, in whatever way this script ends.
finish() {
    if [ -n "$service" ] && kill -0 "$service" 2>/dev/null; then
        [ ! -f "$folder/worker" ] || kill -CONT "$(cat "$folder/worker")" 2>/dev/null || true
        kill "$service"
        wait "$service" || true
    fi
    rm -rf "$folder"
}
trap finish EXIT

# wait_for WORDS COMMAND...: until the command succeeds, a minute at most.
wait_for() {
    local words=$1
    shift
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    echo "demo: waited a minute in vain until $words" >&2
    exit 1
}

"$build/tintype-service" --port 0 --ledger "sqlite:$folder/jobs" --verbose >"$folder/service.log" 2>&1 &
service=$!
wait_for "the service listens" grep -q 'tintype-service: listening at' "$folder/service.log"
wait_for "its worker is there" grep -q 'takes jobs' "$folder/service.log"
url=$(sed -n 's/^tintype-service: listening at //p' "$folder/service.log")
echo "demo: the service listens at $url"

# draft NAME SEED OUTPUT: a picture by way of a draft; the service where it answers, else this device.
draft() {
    "$build/tintype" -m "$MODEL" -p "$PROMPT" -s "$2" -W 512 -H 512 --draft 256 --upscale auto --cloud-url "$url" \
        --allow-upload --cloud-timeout 60 -o "$3" 2>&1 | tee "$folder/$1.log"
}

draft first 42 "$output"
# It must have been the service: its worker says so.
grep -q 'job .*: 256 x 256, scale 2' "$folder/service.log"
"$build/tintype" inspect "$output" | sed -n '1,3p'

echo "demo: again, and the service is stopped when it has the picture in its queue"
for child in $(cat "/proc/$service/task/$service/children"); do
    [ "$(cat "/proc/$child/comm")" != tintype-worker ] || echo "$child" >"$folder/worker"
done
kill -STOP "$(cat "$folder/worker")" # so that it is still there when the service goes
draft second 43 "${output%.png}-local.png" &
client=$!
wait_for "the second picture is in the queue" grep -q 'waiting at the service' "$folder/second.log"
kill -KILL "$(cat "$folder/worker")"
kill "$service"
wait "$service" || true
service=
wait "$client"
grep -i 'this device' "$folder/second.log" >/dev/null
"$build/tintype" inspect "${output%.png}-local.png" | sed -n '1,3p'
echo "demo: $output came from the service, ${output%.png}-local.png from this device"
