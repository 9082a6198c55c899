#!/usr/bin/env bash
# Runs every check, or the parts named: scripts/check.sh [PART...]
# Parts go on after a failed one, so that one run shows everything; the exit status is 0 when all passed. A part that
# cannot run here (status 77) says so, and the summary says it again.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

all_parts=(format edges header spir gcc exports vocabulary tests rusticl oclgrind intel clang asan aarch64)
builds=build/check
jobs=${JOBS:-$(nproc)}
generator=()
if command -v ninja >/dev/null; then
    generator=(-G Ninja)
fi

# configure_and_build NAME [CMAKE OPTION...]
configure_and_build() {
    local folder=$builds/$1 fresh=()
    shift
    [ -f "$folder/CMakeCache.txt" ] || fresh=("${generator[@]}")
    cmake "${fresh[@]}" -S . -B "$folder" --log-level=WARNING "$@" && cmake --build "$folder" -j "$jobs"
}

# run_tests NAME BUILD [CTEST OPTION...]: keeps ctest's own summary line for the end.
run_tests() {
    local name=$1 folder=$builds/$2 log
    shift 2
    log=$builds/ctest-$name.log
    ctest --test-dir "$folder" -j2 --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log"
    local status=${PIPESTATUS[0]}
    ctest_lines+=("$name: $(grep -E 'tests passed|No tests were found' "$log" | tail -n 1)")
    return "$status"
}

part_format() {
    scripts/check-format.sh
}

part_edges() {
    scripts/check-includes.sh
}

# Every public header compiles alone, as C11 and as C++17.
part_header() {
    local header form compiler
    for header in include/tintype/*.h; do
        for form in "gcc -x c -std=c11" "clang -x c -std=c11" "g++ -x c++ -std=c++17" "clang++ -x c++ -std=c++17"; do
            read -r -a compiler <<<"$form"
            echo "#include \"${header#include/}\"" |
                "${compiler[@]}" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude - || return 1
        done
    done
}

# GPU programs compile for every option and extension that phones have, whatever this machine has.
part_spir() {
    scripts/check-spir.sh
}

part_gcc() {
    configure_and_build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DTINTYPE_WERROR=ON
}

# The shared library exports what the public header declares: no less, no more.
part_exports() {
    sed -nE 's/^TT_API[^(]*[ *](tt_[a-z0-9_]+)\(.*/\1/p' include/tintype/*.h | sort -u >"$builds/declared.txt"
    nm -D --defined-only "$builds/gcc/libtintype.so" | awk '{ print $3 }' | sort -u >"$builds/exported.txt"
    if ! diff "$builds/declared.txt" "$builds/exported.txt"; then
        echo "exports: '<' is declared in include/tintype and not exported, '>' the other way round"
        return 1
    fi
}

# The CLIP vocabulary is fetched, not carried: without a network the tests that need it skip and say so.
part_vocabulary() {
    scripts/fetch-vocabulary.sh || echo "vocabulary: not available, the tests that need it are skipped"
}

part_tests() {
    [ -d ../shared/oracle ] || echo "tests: ../shared/oracle is absent, the project's own golden set (tests/golden) is what runs"
    run_tests pocl gcc
}

# rusticl stands for a phone's driver: it runs the family of kernels that phones run.
part_rusticl() {
    OCL_ICD_VENDORS=rusticl.icd RUSTICL_ENABLE=llvmpipe TT_TEST_SMALL=1 TT_TEST_FAMILY=plain run_tests rusticl gcc -L '^kernels$'
}

# Races and bounds for every kernel. Oclgrind 21.10's check of uninitialised values ends with a segmentation fault of its
# own on kernels with local memory and takes vector branches for uninitialised, so it runs where it is right; the kernel
# tests' poisoned outputs and guard bands stand in for it elsewhere.
part_oclgrind() {
    local icd=${OCLGRIND_ICD:-/usr/lib/oclgrind/liboclgrind-rt-icd.so}
    OCL_ICD_VENDORS=$icd TT_TEST_SMALL=1 OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 \
        TT_OCLGRIND_LOGS=$PWD/$builds/oclgrind run_tests oclgrind-races gcc -L '^kernels$' &&
        OCL_ICD_VENDORS=$icd TT_TEST_SMALL=1 TT_TEST_FAMILY=plain OCLGRIND_UNINITIALIZED=1 \
            TT_OCLGRIND_LOGS=$PWD/$builds/oclgrind run_tests oclgrind-uninitialized gcc \
            -R '^kernels\.(common|dequantize|matrix|pack)$'
}

# Intel's OpenCL runtime for CPUs runs what no other device here can: half arithmetic, sub-groups and dot products, as
# phones have them. It is a test device, named by TINTYPE_INTEL_OCL or found in build/intel-ocl:
#     python3 -m venv build/intel-ocl
#     build/intel-ocl/bin/pip install intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0
part_intel() {
    local library=${TINTYPE_INTEL_OCL:-$PWD/build/intel-ocl/lib/libintelocl.so}
    if [ ! -r "$library" ]; then
        echo "intel: SKIPPED. $library is not there, so NO KERNEL WITH HALF ARITHMETIC, SUB-GROUPS OR KHRONOS DOT"
        echo "intel: PRODUCTS WAS RUN. To run them: python3 -m venv build/intel-ocl &&"
        echo "intel: build/intel-ocl/bin/pip install intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0"
        return 77
    fi
    OCL_ICD_VENDORS=$library TT_TEST_SMALL=1 TT_TEST_FAMILY=plain run_tests intel gcc -L '^kernels$'
}

part_clang() {
    configure_and_build clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release -DTINTYPE_WERROR=ON
}

part_asan() {
    configure_and_build asan -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DTINTYPE_SANITIZE=address,undefined &&
        TT_TEST_SMALL=1 run_tests asan asan -L '^(unit|cli|fuzz|kernels|example|service)$'
}

# The cross build for 64-bit ARM, and its host-only tests in an emulator; tests of the device are skipped there.
part_aarch64() {
    if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64-static >/dev/null ||
        ! scripts/arm64-root.sh "$builds/arm64-root"; then
        echo "aarch64: SKIPPED, the cross compiler, the emulator or the arm64 packages are not to be had here"
        return 0
    fi
    configure_and_build aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake -DCMAKE_BUILD_TYPE=Release \
        -DTINTYPE_SYSROOT="$PWD/$builds/arm64-root" -DTINTYPE_WERROR=ON && run_tests aarch64 aarch64 -L '^(unit|fuzz)$'
}

mkdir -p "$builds"
ctest_lines=()
results=()
status=0
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")

for part in "${parts[@]}"; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "check: unknown part '$part'; parts are: ${all_parts[*]}" >&2
        exit 2
    fi
    echo "==== $part"
    start=$SECONDS
    "part_$part"
    case $? in
    0) verdict=ok ;;
    77) verdict=SKIPPED ;;
    *)
        verdict=FAILED
        status=1
        ;;
    esac
    results+=("$(printf '%-11s %-7s %4d s' "$part" "$verdict" $((SECONDS - start)))")
    echo "---- $part: $verdict, $((SECONDS - start)) s"
done

echo "==== summary, $SECONDS s"
printf '%s\n' "${results[@]}"
[ ${#ctest_lines[@]} -eq 0 ] || printf '%s\n' "${ctest_lines[@]}"
if [ "$status" -eq 0 ]; then
    echo "check: all passed"
else
    echo "check: FAILED"
fi
exit "$status"
