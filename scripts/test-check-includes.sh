#!/usr/bin/env bash
# The include-edge check must find each kind of forbidden edge in a made-up tree, and pass a clean one.
set -euo pipefail
cd "$(dirname "$0")"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{base,device,scheduler,cl-kernels/reference,unet,vae,cli}

# must_report FILE LINE WORDS: with LINE in FILE the check fails and says WORDS.
must_report() {
    local output
    echo "$2" >"$tree/$1"
    if output=$(./check-includes.sh "$tree"); then
        echo "not found: $2 in $1" >&2
        exit 1
    fi
    case $output in
    *"$1:1:"*"$3"*) ;;
    *)
        echo "found, but said otherwise: $output" >&2
        exit 1
        ;;
    esac
    rm "$tree/$1"
}

must_report base/a.c '#include "device/device.h"' "base must not include"
must_report unet/a.c '#include "vae/vae.h"' "unet must not include"
must_report vae/a.h '#  include "pipeline/pipeline.h"' "vae must not include"
must_report cli/a.c '#include "base/error.h"' "tintype/tintype.h only"
must_report scheduler/a.c '#include "device/device.h"' "scheduler must not include"
must_report scheduler/a.c '#include <CL/cl.h>' "through device/ only"
must_report device/a.c '#include <curl/curl.h>' "cloud/http.c only"
must_report cl-kernels/a.c '#include "cl-kernels/reference/linear.h"' "belongs to the tests and the self-test"
must_report unet/a.c '#include "../base/error.h"' "from the repository root"
must_report unet/a.c '#include "unet.h"' "from the repository root"

echo '#include "tintype/tintype.h"' >"$tree/base/error.h"
echo '#include <CL/cl.h>' >"$tree/device/opencl.h"
echo '#include "cl-kernels/linear.h"' >"$tree/cl-kernels/reference/linear.c"
echo '#include "graph/graph.h"' >"$tree/unet/unet.c"
./check-includes.sh "$tree"
