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

[ $# = 2 ] || fail "usage: build-root.sh LINE RELEASE"
line=$1 release=$2
suites=$(dirname "$0")/images/suites
roots=${VIFBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vifbench}/build-roots

suite=$(awk -v line="$line" '$1 == "kernel" && $2 == line { print $3 }' "$suites")
[ -n "$suite" ] || fail "$suites has no kernel $line"
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

# Where this machine gets its own suite, the other one is looked for too.
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
from() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$1" '$1 == release { uri = $2 } END { print uri }'
}
main=$(from "$here") security=$(from "$here-security")
[ -n "$main" ] && [ -n "$security" ] || fail "apt's sources lack $here or $here-security: other suites are looked for where these are"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
base=${suite%-backports}

work=$(mktemp -d "$roots/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
# What the headers need comes with them. The image and its tools do not: nothing boots here.
{
    echo "deb [signed-by=$keyring] $main $base main"
    [ "$suite" = "$base" ] || echo "deb [signed-by=$keyring] $main $suite main"
    echo "deb [signed-by=$keyring] $security $base-security main"
} | mmdebstrap --quiet --mode=root --variant=essential --format=directory \
    --include="linux-headers-$release,linux-source-$line,make,binutils" "$base" "$work/root" - >&2 ||
    fail "$suite gives no headers of $release, or no source of $line (apt's reason stands above); if it has a newer kernel by now: vifbench lab down, and lab up takes that"
# What a build sees is its own folder, the kernel's processes and this.
mkdir "$work/root/build"
mv "$work/root" "$root"
echo "$root"
