#!/bin/sh
# Makes the built-in models from packages: tokenizer, autoencoder, latents, then the text encoder and the UNet, the
# judge, and two students: one of four steps, one of a third of the size. Stop it at any time; the same command goes
# on where it was.
#   train/run.sh WORK_DIR [STAGE...]
# Without a stage all are run in order: tokenizer autoencoder render train judge refine distill shrink.
# Afterwards `train/finish.sh WORK_DIR` writes the files in models/ and measures them.
# CYCLES: steps of each cycle of the UNet's training (4200 1600); more of them go on from the last one's end.
set -eu
[ $# -ge 1 ] || { echo "usage: train/run.sh WORK_DIR [STAGE...]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- tokenizer autoencoder render train judge refine distill shrink
python=${PYTHON:-python3}
font=/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
[ -f "$font" ] || { echo "error: $font is missing: apt-get install fonts-noto-color-emoji" >&2; exit 1; }
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1

for stage in "$@"; do
    case $stage in
    tokenizer) [ -f "$work/tokenizer/vocab.json" ] || "$python" "$here/tokenizer.py" --out "$work/tokenizer" ;;
    autoencoder) "$python" "$here/autoencoder.py" --work "$work" ;;
    refine) "$python" "$here/refine.py" --work "$work" ;;
    render) "$python" "$here/render.py" --work "$work" ;;
    train) "$python" "$here/train.py" --work "$work" --cycles ${CYCLES:-4200 1600} ;;
    judge) "$python" "$here/judge.py" --out "$work/judge.pt" ;;
    distill) "$python" "$here/distill.py" --work "$work" ;;
    shrink) "$python" "$here/shrink.py" --work "$work" ;;
    *) echo "error: there is no stage $stage" >&2; exit 2 ;;
    esac
done
