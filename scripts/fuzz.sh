#!/usr/bin/env bash
# Searches every fuzz target for crashing inputs with libFuzzer: scripts/fuzz.sh [SECONDS]   (default 60 for each)
# Inputs that reach new code are collected in build/fuzz/corpus; a finding stops the run and is named.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz -j "${JOBS:-$(nproc)}"

for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    found=build/fuzz/corpus/$name
    mkdir -p "$found"
    echo "==== fuzz $name, $seconds s"
    LSAN_OPTIONS=suppressions=tests/support/lsan.supp "build/fuzz/tests/fuzz-$name" \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$name-" "$found" "tests/fuzz/corpus/$name"
done
