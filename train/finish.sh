#!/bin/sh
# Writes the trained models into models/, measures them with the program and draws docs/gallery.
#   train/finish.sh WORK_DIR [PROGRAM [VARIANT...]]
# PROGRAM is build/release/tintype unless said otherwise. VARIANTs name what is measured (gallery.py):
# full-f16 'full-f16-*-steps' ...; without them everything, which takes an hour of one core.
set -eu
[ $# -ge 1 ] || { echo "usage: train/finish.sh WORK_DIR [PROGRAM [VARIANT...]]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$1" && pwd)
program=${2:-$here/../build/release/tintype}
shift $(($# > 1 ? 2 : 1))
python=${PYTHON:-python3}
models=$here/../models
export OMP_NUM_THREADS=1

publish() { # CHECKPOINT NAME OPTION...
    if [ ! -f "$work/$1" ]; then
        echo "$work/$1 is not there: $2 stays as it is" >&2
        return
    fi
    file=$work/$2-f16.safetensors
    "$python" "$here/export.py" --work "$work" --checkpoint "$1" --file "$file"
    name=$2
    shift 2
    "$program" quantize "$file" "$@" -q -o "$models/$name.gguf"
}

publish denoiser.pt tintype-mini --type q8_0
publish fast.pt tintype-fast --type q8_0
publish tiny.pt tintype-tiny --mixed 3MB --rules 'vae.*=w8c' --calibrate "$here/calibrate.txt"
for log in "$work"/log*.csv; do cp "$log" "$here"; done
"$python" "$here/curve.py" "$here/log.csv" "$here/curve.png"
[ $# -eq 0 ] || set -- --only "$@"
for model in tiny fast; do
    file=$work/tintype-$model-f16.safetensors
    [ ! -f "$file" ] || set -- "--$model" "$file" "$@"
done
"$python" "$here/gallery.py" --engine "$program" --full "$work/tintype-mini-f16.safetensors" \
    --judge-file "$work/judge.pt" --work "$work/gallery" --out "$here/../docs/gallery" "$@"
