#!/usr/bin/env bash
# Builds a kernel that watches itself (./config: slab and page debugging, kmemleak, lockdep, PROVE_RCU, ...), and the
# drivers for it, to run the quick bench with.
#
#   build.sh [6.1|6.12] [DIR]       DIR: where to build, default /var/tmp/vifbench-debug-kernel-<line>
#
# Leaves in DIR: vmlinux, stock/ (packaged drivers and what the bench loads), patched/, hostile/. What it was built from
# is kept: a second call builds only what has changed. JOBS=N in the environment: so many at a time, default 1.
# Needs linux-source-<line>, build-essential, bc, bison, flex, libelf-dev.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
line=${1:-6.1}
out=${2:-/var/tmp/vifbench-debug-kernel-$line}
series=$here/../linux-$line
source=$out/linux-source-$line
# A folder of this repository's is no place to apply patches to others' files.
export GIT_CEILING_DIRECTORIES=$out
fail() { echo "build.sh: $*" >&2; exit 1; }
[ -e "$series/series" ] || fail "there is no series for Linux $line"
[ -e "/usr/src/linux-source-$line.tar.xz" ] || fail "apt-get install linux-source-$line"
for tool in bc bison flex gcc make; do
  command -v $tool > /dev/null || fail "$tool is missing: apt-get install bc bison flex build-essential libelf-dev"
done
make() { command make -s -C "$source" -j"${JOBS:-1}" KBUILD_BUILD_USER=vifbench KBUILD_BUILD_HOST=vifbench "$@"; }
drivers=(drivers/net/xen-netback drivers/net/xen-netfront.c include/xen)

mkdir -p "$out"/{stock,patched,hostile,packaged}
if [ ! -e "$source/.unpacked" ]; then
  tar xf "/usr/src/linux-source-$line.tar.xz" -C "$out"
  touch "$source/.unpacked"
  # The drivers as they are packaged, to go back to.
  (cd "$source" && cp -r --parents "${drivers[@]}" "$out/packaged")
fi

# drivers_of DIR PATCH...: puts the packaged drivers back, patches them, builds them and keeps the modules.
drivers_of() {
  local keep=$1 patch; shift
  rm -rf "${source:?}/drivers/net/xen-netback" "$source/include/xen" "$source/include/trace/events/xen_netfront.h"
  cp -r "$out/packaged/." "$source/"
  for patch in "$@"; do
    git -C "$source" apply --exclude=drivers/net/Kconfig --exclude='Documentation/*' "$patch" || fail "$patch does not apply"
  done
  make modules
  cp "$source"/drivers/net/xen-net{back/xen-netback,front}.ko "$keep/"
}

patches=()
while read -r name; do
  case $name in '' | '#'*) continue ;; esac
  patches+=("$series/$name")
done < "$series/series"

# Also for the packaged drivers, so that one kernel serves all.
for patch in "${patches[@]}"; do
  [ -e "$source/.selected" ] || git -C "$source" apply --include=drivers/net/Kconfig "$patch"
done
touch "$source/.selected"

make allnoconfig KCONFIG_ALLCONFIG="$here/config" > /dev/null
# What depends on something else that is missing is left out silently.
while read -r setting; do
  case $setting in '' | '#'*) continue ;; esac
  grep -qxF "$setting" "$source/.config" || fail "the kernel's configuration did not take $setting"
done < "$here/config"

make vmlinux
cp "$source/vmlinux" "$out/vmlinux"
drivers_of "$out/stock"
for module in xen/xen-privcmd xen/xen-evtchn xen/xen-gntdev xen/xenfs/xenfs; do
  cp "$source/drivers/$module.ko" "$out/stock/"
done
cp "$source"/net/{8021q/8021q,core/pktgen,llc/llc,802/stp,bridge/bridge}.ko "$out/stock/"
drivers_of "$out/patched" "${patches[@]}"
[ "$line" != 6.1 ] || drivers_of "$out/hostile" "${patches[@]}" "$here/../quick-bench/hostile.patch"
echo "$out"
