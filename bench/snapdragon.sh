#!/usr/bin/env bash
# Measures tintype on a phone over adb and prints seconds per picture with temperatures and clocks.
#
#   bench/snapdragon.sh -b BINARY -m MODEL [-v VOCABULARY] [-r RUNS] [-t CELSIUS] [-o FOLDER] [-s SERIAL] [-- BENCH OPTIONS]
#
# BINARY is a program built for Android (docs/android.md). Before every run the phone cools down to CELSIUS (default 38,
# its hottest GPU zone) for at most ten minutes. Each run's JSON is pulled into FOLDER (default bench-results), named by
# phone and time; bench/report.py draws several of them. docs/measuring-on-a-phone.md says what to watch.
set -euo pipefail

binary='' model='' vocabulary='' runs=3 celsius=38 out=bench-results serial=()
while getopts 'b:m:v:r:t:o:s:h' option; do
    case $option in
    b) binary=$OPTARG ;;
    m) model=$OPTARG ;;
    v) vocabulary=$OPTARG ;;
    r) runs=$OPTARG ;;
    t) celsius=$OPTARG ;;
    o) out=$OPTARG ;;
    s) serial=(-s "$OPTARG") ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
done
shift $((OPTIND - 1))
[ "${1:-}" != -- ] || shift

fail() {
    echo "snapdragon: $*" >&2
    exit 1
}

command -v adb >/dev/null || fail "adb is not installed (Android platform tools)"
[ -f "$binary" ] || fail "no program at '$binary': give one built for Android with -b"
[ -e "$model" ] || fail "no model at '$model': give one with -m"

on_phone() {
    adb "${serial[@]}" shell "$@" </dev/null
}

[ "$(adb "${serial[@]}" get-state 2>/dev/null || true)" = device ] ||
    fail "no phone answers: connect one with USB debugging on, and name it with -s when there are several"

# Hottest zone of the GPU in degrees, of all zones where none is named after it.
temperature() {
    on_phone 'for z in /sys/class/thermal/thermal_zone*; do echo "$(cat $z/type 2>/dev/null) $(cat $z/temp 2>/dev/null)"; done' |
        tr -d '\r' | awk '
            NF == 2 && $2 ~ /^-?[0-9]+$/ { t = $2 > 1000 ? $2 / 1000 : $2
                if (t > 0 && t < 150) { if (t > all) all = t; if ($1 ~ /gpu/ && t > gpu) gpu = t } }
            END { printf "%.0f", gpu > 0 ? gpu : all }'
}

cool_down() {
    local waited=0 now
    now=$(temperature)
    while [ "${now:-0}" -gt "$celsius" ] && [ "$waited" -lt 600 ]; do
        printf '\rcooling: %s C, waiting for %s C (%s s) ' "$now" "$celsius" "$waited"
        sleep 10
        waited=$((waited + 10))
        now=$(temperature)
    done
    [ "$waited" -eq 0 ] || echo
    [ "${now:-0}" -le "$celsius" ] || echo "snapdragon: still $now C after ten minutes; the run is marked by its sensors"
}

folder=/data/local/tmp/tintype
phone=$(on_phone getprop ro.product.model | tr -d '\r' | tr ' /' '__')
soc=$(on_phone getprop ro.soc.model | tr -d '\r')
echo "phone: $phone${soc:+ ($soc)}, Android $(on_phone getprop ro.build.version.release | tr -d '\r')"

on_phone "mkdir -p $folder/cache"
adb "${serial[@]}" push --sync "$binary" "$folder/tintype" >/dev/null
adb "${serial[@]}" push --sync "$model" "$folder/" >/dev/null
[ -z "$vocabulary" ] || adb "${serial[@]}" push --sync "$vocabulary" "$folder/" >/dev/null
on_phone "chmod 755 $folder/tintype"

mkdir -p "$out"
name=$(basename "$model")
for run in $(seq "$runs"); do
    cool_down
    before=$(temperature)
    file=$out/$phone-$(date +%Y%m%d-%H%M%S)-$run.json
    # shellcheck disable=SC2029 # options are expanded here on purpose
    on_phone "cd $folder && TMPDIR=$folder TINTYPE_SHARE=$folder ./tintype bench -m $name --cache-dir $folder/cache --json $* \
        >result.json 2>error.txt; echo \$? >status.txt"
    status=$(on_phone "cat $folder/status.txt" | tr -d '\r')
    if [ "$status" != 0 ]; then
        on_phone "cat $folder/error.txt" >&2
        fail "run $run ended with exit code $status"
    fi
    adb "${serial[@]}" pull "$folder/result.json" "$file" >/dev/null
    python3 - "$file" "$run" "$before" "$(temperature)" <<'PYTHON'
import json, sys
path, run, before, after = sys.argv[1:5]
r = json.load(open(path))
pictures = [p["total_ms"] / 1e3 for p in r["pictures"]]
clock = [s["value"] for s in r["sensors_after"] if s["name"] == "gpu clock"]
line = f"run {run}: " + ", ".join(f"{s:.2f}" for s in pictures) + " s a picture" if pictures else f"run {run}"
line += f"; UNet pass {r['unet']['median_ms']:.0f} ms; {before} C before, {after} C after"
print(line + (f"; GPU at {clock[0]:.0f} MHz" if clock else "") + f"; {path}")
PYTHON
done
