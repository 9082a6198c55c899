#!/bin/sh
# Makes the built-in model from packages: decoder, then text encoder and UNet, then the files in
# models/ and the measurement. Stop it at any time; the same command goes on where it was.
#   train/run.sh WORK_DIR [MINUTES]        MINUTES: budget of the UNet and text encoder (default 110)
set -eu
[ $# -ge 1 ] || { echo "usage: train/run.sh WORK_DIR [MINUTES]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
minutes=${2:-110}
python=${PYTHON:-python3}
font=/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
[ -f "$font" ] || { echo "error: $font is missing: apt-get install fonts-noto-color-emoji" >&2; exit 1; }
export OMP_WAIT_POLICY=passive

[ -f "$work/tokenizer/vocab.json" ] || "$python" "$here/tokenizer.py" --out "$work/tokenizer"
"$python" "$here/decoder.py" --work "$work" --threads 2
[ -f "$work/trained" ] || "$python" "$here/train.py" --work "$work" --minutes "$minutes"
touch "$work/trained"
"$python" "$here/export.py" --work "$work" --folder "$work/folder" --file "$here/../models/tintype-mini.safetensors"
cp "$work/log.csv" "$here/log.csv"
"$python" "$here/curve.py" "$here/log.csv" "$here/curve.png"
"$python" "$here/evaluate.py" --torch "$work" --threads 2 --json "$work/results.json"
