#!/usr/bin/env bash
# Checks the edges between rooms: an include that goes up, sideways or around is a bug.
#   scripts/check-includes.sh [ROOT]      ROOT: a tree to check instead of this repository (used to test this script)
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

below_graph="base model-file device scheduler image cl-kernels"
# What each room may include besides itself. The public headers, tintype/*.h, a shared vocabulary of statuses, are open to all.
declare -A allowed=(
    [base]=""
    [model-file]="base"
    [device]="base"
    [scheduler]="base"
    [image]="base"
    [cloud]="base image"
    [cl-kernels]="base model-file device"
    [graph]="base model-file device cl-kernels"
    [text-encoder]="base model-file device cl-kernels graph"
    [unet]="base model-file device cl-kernels graph"
    [vae]="base model-file device cl-kernels graph"
    [upscale]="base model-file device cl-kernels graph"
    [selftest]="base model-file device cl-kernels"
    [quantize]="$below_graph graph text-encoder unet vae upscale"
    [pipeline]="$below_graph graph text-encoder unet vae upscale quantize selftest cloud"
    [service]="base"
    [cli]=""
    [examples]=""
    [include]=""
)
everyone="$below_graph graph text-encoder unet vae upscale quantize selftest cloud service pipeline"

fails=0
report() {
    echo "include edges: $1"
    fails=$((fails + 1))
}

# check_edge FILE LINE ROOM HEADER: one quoted include.
check_edge() {
    local file=$1 line=$2 room=$3 header=$4
    local target=${header%%/*}
    case $header in
    tintype/*/*) ;;
    tintype/*.h) return ;;
    ../* | */../* | ./*) report "$file:$line: \"$header\" must be written from the repository root" && return ;;
    */*) ;;
    *) report "$file:$line: \"$header\" must be written from the repository root" && return ;;
    esac
    if [ "$room" = tests ]; then
        return
    fi
    case $file:$header in
    cl-kernels/reference/*:cl-kernels/* | selftest/*:cl-kernels/reference/*) ;;
    *:cl-kernels/reference/*)
        report "$file:$line: \"$header\": reference code belongs to the tests and the self-test alone"
        ;;
    esac
    if [ "$target" = "$room" ]; then
        return
    fi
    case " ${allowed[$room]} " in
    *" $target "*) ;;
    *) report "$file:$line: $room must not include \"$header\" (it may include: ${allowed[$room]:-tintype/tintype.h only})" ;;
    esac
}

n_edges=0
for room in "${!allowed[@]}" tests; do
    [ -d "$room" ] || continue
    while IFS=: read -r file line text; do
        header=${text#*\"}
        check_edge "$file" "$line" "$room" "${header%%\"*}"
        n_edges=$((n_edges + 1))
    done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$room" || true)
done

# OpenCL's own headers come in at one door.
for room in $everyone cli examples include tests; do
    [ -d "$room" ] && [ "$room" != device ] || continue
    while IFS=: read -r file line text; do
        report "$file:$line: OpenCL headers are included through device/ only: $text"
    done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](CL|OpenCL)/' "$room" || true)
done

# So does libcurl's.
while IFS=: read -r file line text; do
    [ "$file" = cloud/http.c ] || report "$file:$line: libcurl is called by cloud/http.c only: $text"
done < <(grep -rnE --include='*.[ch]' --exclude-dir=build '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]curl/' . |
    sed 's|^\./||' || true)

if [ "$fails" -gt 0 ]; then
    exit 1
fi
echo "include edges: $n_edges includes, all allowed"
