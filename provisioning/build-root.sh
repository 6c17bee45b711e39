#!/bin/bash
# Makes a root that holds what modules for a kernel of another Debian suite are built with, and prints its folder: the
# kernel's headers and source, and the compiler that the headers ask for. Nothing is installed on this machine.
#
#   build-root.sh LINE RELEASE       such as: build-root.sh 7.3 7.3.4+deb13-amd64
#
# The suite is the line's in images/suites. The result is kept in the cache. Needs root and mmdebstrap. Progress goes to
# stderr.
set -euo pipefail
export LC_ALL=C

fail() { echo "build-root.sh: $*" >&2; exit 1; }
. "$(dirname "$0")/deb-lines.sh"

[ $# = 2 ] || fail "usage: build-root.sh LINE RELEASE"
line=$1 release=$2
table=$(dirname "$0")/images/suites
roots=${VIFBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vifbench}/build-roots

suite=$(awk -v line="$line" '$1 == "kernel" && $2 == line { print $3 }' "$table")
[ -n "$suite" ] || fail "$table has no kernel $line"
[ "$(id -u)" = 0 ] || fail "making a root needs root: its files have many owners; run it with sudo"
command -v mmdebstrap > /dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"

mkdir -p "$roots"
root=$roots/$release
exec 9> "$roots/$release.lock"
flock 9
if [ -d "$root" ]; then
    # Roots that nothing has used for two weeks go; this one is in use.
    touch "$root"
    find "$roots" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} +
    echo "$root"
    exit
fi

base=${suite%-backports}
suites=("$base" "$base-security")
[ "$suite" = "$base" ] || suites+=("$suite")
sources=$(deb_lines "${suites[@]}")

# Who was killed could not clear up. Nothing is mounted there: mmdebstrap mounts in a namespace of its own.
work=$roots/.making.$release
rm -rf --one-file-system "$work"
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir "$work"
# What the headers need comes with them. The image and its tools do not: nothing boots here. The source is of the
# headers' version: a newer one waits for days until its kernel is signed.
echo "$sources" | unshare --mount mmdebstrap --quiet --mode=root --variant=essential --format=directory \
    --include="linux-headers-$release,make,binutils" \
    --customize-hook="version=\$(dpkg-query --admindir=\"\$1/var/lib/dpkg\" -W -f '\${Version}' linux-headers-$release) &&
        APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get install --yes -qq -o DPkg::Chroot-Directory=\"\$1\" linux-source-$line=\$version" \
    "$base" "$work/root" - >&2 ||
    fail "$suite gives no headers of $release, or no source of $line in their version (apt's reason stands above); if it has a newer kernel by now: vifbench lab down, and lab up takes that"
# What a build sees is its own folder, the kernel's processes and this.
mkdir "$work/root/build"
mv "$work/root" "$root"
echo "$root"
