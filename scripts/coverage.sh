#!/usr/bin/env bash
# Line coverage of the library by all tests: scripts/coverage.sh [MINIMUM]   (percent, default 85)
# Prints a line for each room, the least covered files, and the whole; fails below MINIMUM.
set -euo pipefail
cd "$(dirname "$0")/.."

minimum=${1:-85}
build=$PWD/build/coverage
cmake --preset coverage --log-level=WARNING
cmake --build --preset coverage -j "${JOBS:-$(nproc)}"
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -j2 --output-on-failure

# gcov says for each object: File 'PATH', then Lines executed:P% of N.
find "$build/CMakeFiles/tintype-objects.dir" -name '*.gcno' ! -name 'kernel-sources*' -print0 |
    xargs -0 gcov -n 2>/dev/null |
    awk -v root="$PWD/" -v minimum="$minimum" '
        /^File / { file = substr($2, 2, length($2) - 2); if (index(file, root) == 1) file = substr(file, length(root) + 1); next }
        /^Lines executed:/ && file ~ /^[a-z-]+\/.*\.c$/ {
            split($0, part, /[:% ]+/)
            n = $NF
            hit = part[3] * n / 100
            room = file
            sub(/\/.*/, "", room)
            lines[room] += n; hits[room] += hit; all += n; all_hits += hit
            printf "%6.1f%% of %5d  %s\n", part[3], n, file > "/dev/stderr"
        }
        { file = "" }
        END {
            for (room in lines) printf "%-14s %6.1f%% of %d lines\n", room, 100 * hits[room] / lines[room], lines[room]
            if (all == 0) { print "coverage: no counts were found"; exit 1 }
            printf "coverage: %.1f%% of %d lines (minimum %s%%)\n", 100 * all_hits / all, all, minimum
            exit 100 * all_hits / all < minimum
        }' 2> >(sort -n | head -n 20)
