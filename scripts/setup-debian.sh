#!/usr/bin/env bash
# Installs what is missing to build (demo), to build the upscale service, too (service), or to build and check (check)
# on Debian 12 and its relatives:
#   scripts/setup-debian.sh demo|service|check
# Says what it installs; quick and silent on the network when nothing is missing.
set -euo pipefail

goal=${1:-demo}
build_packages=(cmake gcc libc6-dev make libjansson-dev libpng-dev zlib1g-dev libutf8proc-dev libssl-dev libstb-dev
    opencl-c-headers libcurl4-openssl-dev)
service_packages=(libsqlite3-dev libpq-dev libmicrohttpd-dev libseccomp-dev)
check_packages=(libcmocka-dev ninja-build git clang clang-format libclang-rt-14-dev g++ pocl-opencl-icd
    ocl-icd-libopencl1 mesa-opencl-icd oclgrind python3 python3-pip gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    qemu-user-static postgresql)

case $goal in
demo) wanted=("${build_packages[@]}") ;;
service) wanted=("${build_packages[@]}" "${service_packages[@]}") ;;
check) wanted=("${build_packages[@]}" "${service_packages[@]}" "${check_packages[@]}") ;;
*)
    echo "usage: setup-debian.sh demo|service|check" >&2
    exit 2
    ;;
esac

# Other systems: the build itself says what it does not find.
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    if command -v cmake >/dev/null && command -v cc >/dev/null; then
        echo "set-up: no apt-get here, going on with what is installed"
        exit 0
    fi
    cat >&2 <<END
set-up: this system has no apt-get, so nothing can be installed for you. Install by your system's own means
CMake 3.25 or newer, a C11 compiler, and the development files of jansson, libpng, zlib, utf8proc, OpenSSL, stb and
the OpenCL headers, and an OpenCL driver (PoCL runs on any CPU). Then run make again.
END
    exit 1
fi

# The demo runs on whatever OpenCL there is; only a machine with none is given PoCL.
if [ "$goal" != check ]; then
    ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
    "$ldconfig" -p 2>/dev/null | grep -q 'libOpenCL\.so\.1' || wanted+=(ocl-icd-libopencl1)
    compgen -G '/etc/OpenCL/vendors/*.icd' >/dev/null || wanted+=(pocl-opencl-icd ocl-icd-libopencl1)
fi

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    case " $state" in
    *" installed"*) ;;
    *) missing+=("$package") ;;
    esac
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "set-up: these packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

install_missing() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        </dev/null >>"$log" 2>&1
}

log=$(mktemp /tmp/tintype-setup.XXXXXX)
echo "set-up: installing with apt-get: ${missing[*]}"
# Package lists may be absent or old: one update, then a second try.
if ! install_missing; then
    "${as_root[@]}" apt-get update -q </dev/null >>"$log" 2>&1 || true
    if ! install_missing; then
        tail -n 15 "$log" >&2
        echo "set-up: apt-get could not install the packages above (log: $log). Is there a network connection?" >&2
        exit 1
    fi
fi
rm -f "$log"
