#!/usr/bin/env bash
# Type-checks the kernel programs for GPUs with clang, in every combination of build options that launchers use, with
# the extensions of phones (half arithmetic, sub-groups, dot products) that few development machines can run.
# Programs for CPUs alone are left to the devices that build them.
set -euo pipefail
cd "$(dirname "$0")/.."

compiler=$(command -v clang || true)
if [ -z "$compiler" ]; then
    echo "spir: clang is not installed" >&2
    exit 1
fi
vendor=(-Dcl_qcom_dot_product8 -Dcl_arm_integer_dot_product_accumulate_int8 -include tests/support/vendor.clh)
checked=0
failed=0

# check FILE OPTION...: both storage forms of a program. Vendors' pragmas are no news here, helpers and arguments that
# a form does not need no mistake.
check() {
    local file=$1 half
    shift
    for half in 0 1; do
        checked=$((checked + 1))
        if ! "$compiler" -fsyntax-only -x cl -cl-std=CL1.2 --target=spir64 -Xclang -finclude-default-header -Wall \
            -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -Wno-ignored-pragmas "${vendor[@]}" -Icl-kernels \
            -DTT_CPU_TILE=0 -DTT_HALF=$half "$@" "cl-kernels/$file"; then
            echo "spir: $file with -DTT_HALF=$half $*" >&2
            failed=$((failed + 1))
        fi
    done
}

# The forms of gpu-tile.cl: arithmetic, dot products, taps, sources, weights, texels.
check_gpu_tile() {
    local math taps weights texels sizes
    for math in "0 -DGPU_RUN=1 -DTT_WEIGHT_HALF=0" "0 -DGPU_RUN=1 -DTT_WEIGHT_HALF=1" "1 -DGPU_RUN=2 -DTT_WEIGHT_HALF=1" \
        "1 -DGPU_RUN=4 -DTT_WEIGHT_HALF=1" "2 -DGPU_RUN=1 -DGPU_DOT=0" "2 -DGPU_RUN=1 -DGPU_DOT=1 -cl-std=CL3.0" \
        "2 -DGPU_RUN=1 -DGPU_DOT=2" "2 -DGPU_RUN=1 -DGPU_DOT=3"; do
        for taps in "1 -DGPU_SOURCES=1" "1 -DGPU_SOURCES=2" "9 -DGPU_SOURCES=1"; do
            if [[ $math == 2* && $taps == *SOURCES=2 ]]; then
                continue # codes have one source
            fi
            for weights in "0 -DGPU_STAGED=1073741824" "1 -DGPU_STAGED=8" "2 -DGPU_STAGED=1073741824 -cl-std=CL3.0"; do
                for texels in 0 1; do
                    read -r -a sizes <<<"-DGPU_MATH=$math -DGPU_TAPS=$taps -DGPU_WEIGHTS=$weights -DGPU_TEX=$texels"
                    check gpu-tile.cl "${sizes[@]}" -DGPU_POSITIONS=$((texels + 1)) -DGROUP_LANES=64
                done
            done
        done
    done
}

check_attention_gpu() {
    local half local_tiles slices
    for half in 0 1; do
        for local_tiles in 0 1; do
            for slices in "1 -DCHUNK_SLICES=1" "10 -DCHUNK_SLICES=10" "40 -DCHUNK_SLICES=20"; do
                read -r -a slices <<<"-DHEAD_SLICES=$slices"
                check attention-gpu.cl "${slices[@]}" -DGROUP_LANES=64 -DATTENTION_HALF=$half \
                    -DATTENTION_LOCAL=$local_tiles
            done
        done
    done
}

# Every program has its options here; one that is new has to be added.
check_file() {
    local file=$1 form
    case $file in
    gpu-tile.cl) check_gpu_tile ;;
    attention-gpu.cl) check_attention_gpu ;;
    attention.cl)
        check "$file" -DHEAD_SLICES=10 -DCHUNK_SLICES=10
        check "$file" -DHEAD_SLICES=128 -DCHUNK_SLICES=19
        ;;
    linear.cl | conv3x3.cl)
        for form in -DTT_WEIGHT_HALF=0 -DTT_WEIGHT_HALF=1; do
            check "$file" $form -DPLAIN_POSITIONS=4
        done
        for form in 7 10 11 12 13 14 15 16 17 18 19; do
            check "$file" -DTT_WEIGHT_QUANT=1 -DQUANT_TYPE=$form -DPLAIN_POSITIONS=2
        done
        ;;
    group-norm.cl | group-norm-whole.cl) check "$file" -DSEGMENT=1 -DLANES=32 ;;
    take.cl) check "$file" -DSLICES=1 ;;
    gpu-codes.cl) check "$file" -DGROUP_LANES=128 ;;
    gpu-dot-probe.cl)
        check "$file" -DGPU_MATH=1
        check "$file" -DGPU_MATH=2 -DGPU_DOT=1 -cl-std=CL3.0
        check "$file" -DGPU_MATH=2 -DGPU_DOT=2
        check "$file" -DGPU_MATH=2 -DGPU_DOT=3
        ;;
    attention-dot.cl | conv3x3-dot.cl | dot-probe.cl | linear-dot.cl | peak-dot.cl | winograd.cl) ;; # for CPUs alone
    *) check "$file" -DSEGMENT=1 ;;
    esac
}

for path in cl-kernels/*.cl; do
    check_file "$(basename "$path")"
done
echo "spir: $checked programs were checked, $failed failed"
[ "$failed" -eq 0 ]
