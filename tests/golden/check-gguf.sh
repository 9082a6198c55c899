#!/bin/sh
# Runs check_gguf.py where there is a Python with the packages gguf and numpy: check-gguf.sh GGUF-PEER
# The interpreter is $TT_PYTHON, or python3.
set -eu

python=${TT_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "skipped: there is no $python to compare GGUF files with; set TT_PYTHON"
    exit 77
fi
if ! "$python" -c 'import gguf, numpy' 2>/dev/null; then
    echo "skipped: $python has no packages gguf and numpy to compare GGUF files with; set TT_PYTHON"
    exit 77
fi
exec "$python" "$(dirname "$0")/check_gguf.py" "$1"
