#!/usr/bin/env bash
# Boots the quick bench and runs tests in it: Xen and one dom0 whose vif is looped back to itself, all in RAM.
#
#   run.sh --modules DIR [--hostile DIR] [--cpus N] [--virtual-time] [--timeout S] [--release R --vmlinux FILE --stock DIR] [TEST...]
#
# DIR holds the patched xen-netback.ko and xen-netfront.ko (`vifbench patches build` prints it). TEST names files of
# tests/ without `.sh`; all by default. --hostile: modules built with hostile.patch on top, for the test 50-hostile. Xen,
# kernel, programs and packaged modules come from the virtual lab's image (provisioning/images/build.sh). For another
# kernel than the image's: its release, its vmlinux (or vmlinuz), and a folder with its packaged modules xen-netback,
# xen-netfront, xen-privcmd, xen-evtchn, xen-gntdev, xenfs and pktgen.
#
# BENCH_SIZES and BENCH_REGULATORS in the environment, joined by `+`: only these sizes of frames (60+60-1514) and these
# regulators (breakeven+static) in 10-matrix and 11-tx-matrix, for a shorter run.
#
# The console goes to standard output. Ends with 0 if every test passed and no kernel warned.
set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "$0")" && pwd)
modules='' hostile='' cpus=1 accel=tcg,thread=multi time=() release='' vmlinux='' stock='' timeout=3600
fail() { echo "run.sh: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --modules) modules=$2; shift 2 ;;
    --hostile) hostile=$2; shift 2 ;;
    --cpus) cpus=$2; shift 2 ;;
    --virtual-time)
      # The clock counts instructions: the same figures each time. Several CPUs take turns.
      accel=tcg time=(-icount "shift=1,sleep=off" -rtc "base=2026-11-22T00:00:00,clock=vm"); shift ;;
    # A kernel of 6.12 does not boot on two CPUs that really run side by side.
    --release) release=$2 accel=tcg,thread=single; shift 2 ;;
    --vmlinux) vmlinux=$2; shift 2 ;;
    --stock) stock=$2; shift 2 ;;
    --timeout) timeout=$2; shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^#/!d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --*) fail "unknown option $1" ;;
    *) break ;;
  esac
done
[ -e "$modules/xen-netback.ko" ] || fail "--modules DIR: no xen-netback.ko in \`$modules\`"
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
  for file in "$here"/tests/*.sh; do tests+=("$(basename "$file" .sh)"); done
fi

image=${QUICK_BENCH_IMAGE:-$("$here/../../provisioning/images/build.sh")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root" "$work/guest"
(cd "$root" && cpio -id --quiet < "$image/dom0.cpio")
(cd "$work/guest" && cpio -id --quiet < "$root/boot/guest.cpio")
rm -rf "$root/boot"
mkdir -p "$root"/bench/{stock,patched,hostile,tests} "$root/var/run/netns"
if [ -z "$release" ]; then
  for module in "$root" "$work/guest"; do
    find "$module/usr/lib/modules" -name '*.ko' -exec cp {} "$root/bench/stock" \;
  done
else
  cp "$stock"/*.ko "$root/bench/stock/"
fi
rm -rf "$root/usr/lib/modules"
cp "$modules"/*.ko "$root/bench/patched/"
[ -z "$hostile" ] || cp "$hostile"/*.ko "$root/bench/hostile/"
cp "$here"/{init,lib.sh} "$root/bench/"
for test in "${tests[@]}"; do cp "$here/tests/$test.sh" "$root/bench/tests/" || fail "no test $test"; done
for program in traffic xdp; do gcc -O2 -Wall -Wextra -static "$here/$program.c" -o "$root/bench/$program"; done
(cd "$root" && find . | cpio -o -H newc --quiet) > "$work/initrd"

# Mitigations as in the virtual lab. Without xen_timer_slop a dom0 of this kind has no timers below 100 us.
timeout --foreground "$timeout" nice -n 10 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -machine q35 \
  -accel "$accel" -cpu qemu64 -smp "$cpus" -m 1792 "${time[@]}" -serial stdio \
  -kernel "$image/xen" -append "console=com1 com1=115200,8n1 dom0_mem=1280M,max:1280M dom0_max_vcpus=$cpus timer_slop=1000 spec-ctrl=no noreboot=0" \
  -initrd "${vmlinux:-$image/vmlinux} console=hvc0 xen_timer_slop=1000 mitigations=off rdinit=/bench/init panic=-1 loglevel=5${BENCH_SIZES:+ bench.sizes=$BENCH_SIZES}${BENCH_REGULATORS:+ bench.regulators=$BENCH_REGULATORS},$work/initrd" \
  < /dev/null | tee "$work/console" | grep --line-buffered -v '^(XEN)' || true
tr -d '\r' < "$work/console" > "$work/lines"
if grep -qE 'WARNING:|BUG:|Oops|Call Trace|INFO: (task|rcu)|list_del corruption|kmemleak: [0-9]+ new' "$work/lines"; then
  echo "run.sh: the kernel complained" >&2
  exit 1
fi
grep -q '^bench: all passed' "$work/lines" || { echo "run.sh: not all passed" >&2; exit 1; }
