#!/usr/bin/env bash
# The service's load and crash tests at full length: 5,000 jobs through gates and workers that are killed over and over
# on PostgreSQL, 500 on SQLite, and 5,000 clients that wait at one gate. `make check` runs small versions of the same.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/check/gcc
generator=()
if [ ! -f "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then
    generator=(-G Ninja)
fi
cmake "${generator[@]}" -S . -B "$build" -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DTINTYPE_WERROR=ON \
    -DTINTYPE_SERVICE=ON --log-level=WARNING
cmake --build "$build" -j "${JOBS:-$(nproc)}" --target test-service-crash test-service-waiting
export TT_TEST_BUILD_DIR=$PWD/$build
: "${TT_TEST_JOBS:=5000}" "${TT_TEST_SQLITE_JOBS:=500}" "${TT_TEST_CLIENTS:=5000}"
export TT_TEST_JOBS TT_TEST_SQLITE_JOBS TT_TEST_CLIENTS
for name in crash waiting; do
    tests/run-test.sh "service.$name" "$build/tests/test-service-$name"
done
