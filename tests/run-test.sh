#!/bin/sh
# Runs one test program with the environment that all tests share: run-test.sh NAME PROGRAM [ARGUMENT...]
# - OpenCL is PoCL unless OCL_ICD_VENDORS says otherwise.
# - Compiled programs of the engine are cached in the build folder, PoCL's own cache stays where it is.
# - TINTYPE_SHARE is the folder with CLIP's vocabulary, where there is one.
# - TT_TEST_EMULATOR=COMMAND runs a cross build's program, in a system without OpenCL: what needs a device is skipped.
# - TT_OCLGRIND_LOGS=FOLDER: the test runs on oclgrind; whatever oclgrind reports fails the test.
set -eu

name=$1
shift
: "${OCL_ICD_VENDORS:=pocl.icd}"
: "${POCL_CACHE_DIR:=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pocl/kcache}"
if [ -n "${TT_TEST_BUILD_DIR:-}" ]; then
    XDG_CACHE_HOME=$TT_TEST_BUILD_DIR/test-cache
    TT_TEST_CLI=$TT_TEST_BUILD_DIR/tintype
    mkdir -p "$XDG_CACHE_HOME" "$POCL_CACHE_DIR"
    export XDG_CACHE_HOME TT_TEST_CLI
fi
export OCL_ICD_VENDORS POCL_CACHE_DIR

# CLIP's vocabulary, for models that bring none: fetched into share/, or part of the oracle beside the checkout.
for folder in share ../shared/oracle/vocab; do
    if [ -z "${TINTYPE_SHARE:-}" ] && [ -r "$folder/bpe_simple_vocab_16e6.txt.gz" ]; then
        export TINTYPE_SHARE="$PWD/$folder"
    fi
done

if [ -n "${TT_TEST_EMULATOR:-}" ]; then
    log=$(mktemp)
    status=0
    # shellcheck disable=SC2086 # a command with its options
    $TT_TEST_EMULATOR "$@" >"$log" 2>&1 || status=$?
    cat "$log"
    if [ "$status" -ne 0 ] && grep -q 'no OpenCL library: expected' "$log"; then
        echo "$name: skipped, there is no OpenCL in the emulated system"
        status=77
    fi
    rm -f "$log"
    exit "$status"
fi

# Sanitized: gcc 12's leak checker sometimes crashes itself when it looks at a driver's threads while they end ("Tracer
# caught signal 11"), after a test that has passed. Then, and only then, the test runs again; when the checker has
# crashed in five runs, one without it decides, which still sees every other error.
if [ -n "${LSAN_OPTIONS:-}" ]; then
    log=$(mktemp)
    for run in 1 2 3 4 5 last; do
        if [ $run = last ]; then
            echo "$name: leaks are not looked for"
            ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
            export ASAN_OPTIONS
        fi
        status=0
        "$@" >"$log" 2>&1 || status=$?
        cat "$log"
        if [ "$status" -eq 0 ] || ! grep -q 'LeakSanitizer has encountered a fatal error' "$log"; then
            break
        fi
        echo "$name: the leak checker crashed"
    done
    rm -f "$log"
    exit "$status"
fi

if [ -z "${TT_OCLGRIND_LOGS:-}" ]; then
    exec "$@"
fi

mkdir -p "$TT_OCLGRIND_LOGS"
OCLGRIND_LOG=$TT_OCLGRIND_LOGS/$name.log
rm -f "$OCLGRIND_LOG"
export OCLGRIND_LOG
status=0
"$@" || status=$?
if [ -s "$OCLGRIND_LOG" ]; then
    echo "oclgrind reports for $name:"
    head -n 60 "$OCLGRIND_LOG"
    exit 1
fi
exit "$status"
