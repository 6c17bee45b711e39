#!/usr/bin/env bash
# Checks that vifbench-reports can be built without Xen, libpcap and libclang: reading a result needs none of them.
#
#   reports-without-xen.sh           asks cargo for the dependencies (a second)
#   reports-without-xen.sh --root    also builds the crate in a new Debian root that has a C compiler and no other
#                                    header (many minutes; needs root, mmdebstrap and 5 GB in the temporary folder)
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

fail() { echo "reports-without-xen: $*" >&2; exit 1; }
[ $# = 0 ] || [ "$*" = --root ] || fail "usage: reports-without-xen.sh [--root]"

forbidden=(libxl-sys vifbench-libxl vifbench-probes pcap bindgen clang-sys)
# found CRATE: which of the forbidden crates it is built from, its tests included.
found() {
  local crates name
  crates=$(cargo tree --locked --package "$1" --edges normal,build,dev --prefix none --format '{p}' | cut -d ' ' -f 1)
  for name in "${forbidden[@]}"; do
    if grep -qxF "$name" <<<"$crates"; then echo "$name"; fi
  done
}

names=$(found vifbench-reports)
[ -z "$names" ] || fail "vifbench-reports is built from $(paste -sd ' ' <<<"$names"); \
run: cargo tree --package vifbench-reports --invert ${names%%$'\n'*}"
# The probes are built from all of them: if this finds fewer, the check above has lost its eyes.
names=$(found vifbench-probes)
[ "$(wc -l <<<"$names")" = ${#forbidden[@]} ] ||
  fail "expected ${forbidden[*]} among the dependencies of vifbench-probes, but found: ${names//$'\n'/ }; correct the list in $0"
[ "${1:-}" = --root ] || exit 0

[ "$(id -u)" = 0 ] || fail "making a Debian root needs root: its files have many owners; run it with sudo"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"
. provisioning/deb-lines.sh
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
work=$(mktemp -d)
# The folders of the host that the build sees are mounted in a namespace of their own, which ends before this.
trap 'rm -rf --one-file-system "$work"' EXIT

sources=$(deb_lines "$suite")
echo "$sources" | unshare --mount mmdebstrap --quiet --mode=root --variant=essential --format=directory \
  --include=gcc,libc6-dev "$suite" "$work/root" - >&2 ||
  fail "$suite gives no root with a C compiler (apt's reason stands above)"
for header in pcap.h pcap/pcap.h libxl.h clang-c/Index.h; do
  [ ! -e "$work/root/usr/include/$header" ] || fail "the new root has $header, so that building there proves nothing"
done

# All crates are downloaded here, so that the root needs no network.
cargo fetch --locked
mkdir -p "$work/root"/{source,toolchain,cargo,target}
git ls-files -z | tar --null --files-from=- --create | tar --extract --directory="$work/root/source"
toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export toolchain cargo_home root="$work/root"
unshare --mount sh -euc '
  mount --bind -o ro "$toolchain" "$root/toolchain"
  mount --bind "$cargo_home" "$root/cargo"
  mount -t proc proc "$root/proc"
  mount --bind /dev "$root/dev"
  exec chroot "$root" env -i HOME=/root PATH=/toolchain/bin:/usr/bin:/bin CARGO_HOME=/cargo CARGO_TARGET_DIR=/target \
    cargo build --offline --locked --manifest-path /source/Cargo.toml --package vifbench-reports
' || fail "the build of vifbench-reports in a root without Xen, libpcap and libclang ended with status $? (its reason stands above)"
echo "reports-without-xen: vifbench-reports builds in a root that has a C compiler and nothing else"
