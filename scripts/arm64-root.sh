#!/usr/bin/env bash
# Unpacks the arm64 packages that a cross build needs into a folder: scripts/arm64-root.sh FOLDER
# The machine's own package state is not touched (apt gets a private one), and nothing needs root. Exit 2: no apt here,
# or the packages cannot be had; the reason is printed.
set -uo pipefail

root=${1:?usage: arm64-root.sh FOLDER}
packages=(libc6 libc6-dev linux-libc-dev libgcc-s1 libjansson-dev libjansson4 libpng-dev libpng16-16 zlib1g-dev zlib1g
    libutf8proc-dev libutf8proc2 libssl-dev libssl3 libstb-dev libstb0 opencl-c-headers libcmocka-dev libcmocka0)

if [ -f "$root/complete" ] && [ "$(cat "$root/complete")" = "${packages[*]}" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "arm64-root: no apt-get here"
    exit 2
fi
mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/debs" || exit 2
root=$(cd "$root" && pwd)
touch "$root/state/status"
log=$root/log
apt=(apt-get -q -y -o "APT::Architecture=arm64" -o "APT::Architectures=arm64" -o "Dir::State=$root/state"
    -o "Dir::State::status=$root/state/status" -o "Dir::Cache=$root/cache" -o "APT::Sandbox::User="
    -o "Debug::NoLocking=1")
if ! "${apt[@]}" update >"$log" 2>&1 || ! (cd "$root/debs" && "${apt[@]}" download "${packages[@]}" >>"$log" 2>&1); then
    tail -n 3 "$log"
    echo "arm64-root: the arm64 packages cannot be fetched"
    exit 2
fi
for deb in "$root"/debs/*.deb; do
    dpkg-deb -x "$deb" "$root" || exit 2
done
# Where /lib is a link to usr/lib, the dynamic loader is asked for under /lib.
[ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
rm -rf "$root/debs" "$root/cache" "$root/state"
echo "${packages[*]}" >"$root/complete"
