#!/usr/bin/env bash
# Tests xen_netagg.h, the core of both drivers, in user space: as it is in the patch series, with sanitizers.
#
#   run.sh [6.1|6.12] [seconds]     the kernel line of the series; how long to fuzz (default 10, 0: only the corpus)
#
# Findings of the fuzzer make it fail; inputs that reached new code are added to corpus/.
set -euo pipefail
cd "$(dirname "$0")"
line=${1:-6.1} seconds=${2:-10}
series=../linux-$line
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The header alone, since xen/ has others that user space must not see.
while read -r patch; do
  case $patch in '' | '#'*) continue ;; esac
  git -C "$work" apply --include=include/xen/xen_netagg.h "$PWD/$series/$patch"
done < "$series/series"
[ -e "$work/include/xen/xen_netagg.h" ] || { echo "run.sh: no patch of $series makes include/xen/xen_netagg.h" >&2; exit 1; }

flags=(-std=gnu11 -O1 -g -Wall -Wextra -Werror -Icompat "-I$work/include/xen")
echo "== gcc, address and undefined behaviour"
gcc -fsanitize=address,undefined -fno-sanitize-recover "${flags[@]}" core_test.c -o "$work/gcc_test"
"$work/gcc_test"
echo "== clang, also unsigned overflow"
clang -fsanitize=undefined,unsigned-integer-overflow -fno-sanitize-recover=all "${flags[@]}" core_test.c -o "$work/clang_test"
"$work/clang_test"
echo "== libFuzzer"
clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all "${flags[@]}" unpack_fuzz.c -o "$work/fuzz"
mkdir "$work/seeds" "$work/new"
"$work/clang_test" --seeds "$work/seeds"
"$work/fuzz" -runs=0 corpus "$work/seeds" 2>&1 | tail -1
if [ "$seconds" -gt 0 ]; then
  "$work/fuzz" -max_len=4160 -max_total_time="$seconds" "$work/new" corpus "$work/seeds" > "$work/log" 2>&1 ||
    { cat "$work/log"; cp "$work"/*-???????????* . 2>/dev/null || true; exit 1; }
  tail -1 "$work/log"
  "$work/fuzz" -merge=1 corpus "$work/seeds" "$work/new" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
fi
