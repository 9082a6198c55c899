#!/bin/sh
# Writes the trained models into models/ and measures them with torch, at 512x512 and 256x256.
#   train/finish.sh WORK_DIR
set -eu
[ $# -eq 1 ] || { echo "usage: train/finish.sh WORK_DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$1" && pwd)
python=${PYTHON:-python3}
export OMP_NUM_THREADS=2

measure() { # NAME CHECKPOINT STEPS SCALE SIDE
    "$python" "$here/evaluate.py" --torch "$work" --checkpoint "$2" --steps "$3" --scale "$4" --side "$5" \
        --judge-file "$work/judge.pt" --pictures "$work/pictures-$1" --json "$work/results-$1.json" --threads 2
}

"$python" "$here/export.py" --work "$work" --folder "$work/folder" --file "$here/../models/tintype-mini.safetensors"
cp "$work/log.csv" "$here/log.csv"
cp "$work/autoencoder.csv" "$here/log-autoencoder.csv"
"$python" "$here/curve.py" "$here/log.csv" "$here/curve.png"
measure full denoiser.pt 20 2.5 512
measure half denoiser.pt 20 2.5 256
if [ -f "$work/fast.pt" ]; then
    "$python" "$here/export.py" --work "$work" --checkpoint fast.pt --file "$here/../models/tintype-fast.safetensors"
    measure fast fast.pt 4 1 512
fi
