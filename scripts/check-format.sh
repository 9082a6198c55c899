#!/usr/bin/env bash
# Checks that every C file is formatted as .clang-format says (clang-format 14); --fix formats them.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$tool" ]; then
    echo "format: clang-format is not installed" >&2
    exit 1
fi
case $("$tool" --version) in
*"version 14."*) ;;
*) echo "format: $tool is not version 14, whose style this project follows; differences may be its own" >&2 ;;
esac

arguments=(--dry-run -Werror)
if [ "${1:-}" = --fix ]; then
    arguments=(-i)
fi
find . \( -path ./build -o -path './build-*' -o -path ./.git -o -path ./fresh-out \) -prune -o \
    -type f \( -name '*.c' -o -name '*.h' \) -print0 | sort -z | xargs -0 -r "$tool" --style=file "${arguments[@]}"
