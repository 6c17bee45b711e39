#!/usr/bin/env bash
# Two real guests, containers in both directions, and all that can happen to a guest meanwhile: paused, saved and restored,
# its interface taken away and given back, destroyed. Nothing may be left behind, and no kernel may complain.
#
#   run.sh [VIFBENCH]       the program; default target/release/vifbench of this repository
#
# Needs what the virtual lab needs. Ends with 0 if all went well.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vifbench=${1:-$here/../../target/release/vifbench}
failed=0
out=$(mktemp -d)
trap '"$vifbench" lab down > /dev/null 2>&1; rm -rf "$out"' EXIT

# on MACHINE COMMAND: a command there, not for ever.
on() { timeout 300 "$vifbench" lab ssh "$1" "$2"; }
# check NAME COMMAND...: tells.
check() {
  local name=$1; shift
  if "$@"; then echo "ok   $name"; else echo "FAIL $name"; failed=1; fi
}
# eventually MACHINE COMMAND: until it succeeds there. Each look costs the machine time, so there are few.
eventually() {
  local try
  for try in $(seq 20); do on "$1" "$2" > /dev/null 2>&1 && return 0; sleep 1; done
  return 1
}
answers() { eventually dom0 "ping -c 3 -W 2 $1"; }

"$vifbench" run "$here/scenario.yaml" --out "$out" --keep-lab || [ $? -lt 12 ] || exit 1

# The load: the kernel's generator in dom0 sends to both guests, and each guest sends to dom0, as long as /run/load is there.
generate='cat > /run/generate <<"END"
#!/bin/sh
# generate INTERFACE MAC ADDRESS
modprobe pktgen
: > /run/load
while [ -e /run/load ]; do
  echo rem_device_all > /proc/net/pktgen/kpktgend_0
  echo "add_device $1" > /proc/net/pktgen/kpktgend_0 || { sleep 1; continue; }
  for line in "count 2000" "pkt_size 60" "delay 200000" "dst_mac $2" "dst $3"; do echo "$line" > /proc/net/pktgen/$1; done
  echo start > /proc/net/pktgen/pgctrl
done
END
chmod +x /run/generate'
start_load() {
  local guest
  on dom0 "$generate; (/run/generate xenbr0 \$(awk '\$1 == \"u1\" { print \$4 }' /etc/machines) 198.18.0.11 > /dev/null 2>&1 &)"
  for guest in u1 u2; do
    on $guest "$generate; echo static > /sys/class/net/enX0/tx_agg_regulator; (/run/generate enX0 \$(cat /sys/class/net/enX0/address) 198.18.0.2 > /dev/null 2>&1 &)"
  done
}
stop_load() { local machine; for machine in dom0 u1 u2; do on $machine 'rm -f /run/load' || true; done; }
# complaints MACHINE: of its kernel.
complaints() { on "$1" "dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace|refcount|Bad page'"; }
quiet() { ! complaints "$1" | grep .; }
counter() { on dom0 "ethtool -S \$(ls /sys/class/net | grep ^vif\$(xl domid $1).) | awk '\$1 == \"$2:\" { print \$2 }'"; }
memory() { on dom0 "echo 3 > /proc/sys/vm/drop_caches; awk '\$1 == \"MemAvailable:\" { print \$2 }' /proc/meminfo"; }

check "load" start_load
for round in 1 2 3; do
  check "$round: u1 is paused" on dom0 'xl pause u1 && sleep 2 && xl unpause u1'
  check "$round: u1 answers" answers 198.18.0.11
  check "$round: u1 is saved and restored" on dom0 'xl save u1 /run/u1.save && xl restore /run/u1.save && rm /run/u1.save'
  check "$round: u1 answers" answers 198.18.0.11
  before=$(counter u1 rx_agg_containers)
  check "$round: u1 gets containers again" eventually dom0 "[ \$(ethtool -S vif\$(xl domid u1).0 | awk '\$1 == \"rx_agg_containers:\" { print \$2 }') -gt $before ]"
  check "$round: u2's interface goes" on dom0 'xl network-detach u2 0'
  check "$round: and comes back" on dom0 'xl network-attach u2 mac=$(awk "\$1 == \"u2\" { print \$4 }" /etc/machines) bridge=xenbr0'
  check "$round: u2 answers" answers 198.18.0.12
  check "$round: u1's kernel is quiet" quiet u1
  check "$round: u2's kernel is quiet" quiet u2
  check "$round: dom0's kernel is quiet" quiet dom0
  echo "     available in dom0: $(memory) kB"
done
check "u1 is destroyed under load" on dom0 'xl destroy u1'
check "u1 is made anew, with the packaged driver" on dom0 'xl create -q /etc/xen/u1.cfg'
check "u1 answers" answers 198.18.0.11
check "u1 gets no containers" [ "$(counter u1 rx_agg_containers)" = 0 ]
stop_load
check "dom0's kernel is quiet" quiet dom0
# All interfaces gone: the driver can be unloaded, so that nothing of it is held.
check "all guests go, netback unloads" on dom0 'for g in u1 u2 gen; do xl destroy $g; done; for n in 1 2 3 4 5 6 7 8 9 10; do ls /sys/class/net | grep -q ^vif || break; sleep 1; done; rmmod xen_netback'
check "dom0's kernel is quiet" quiet dom0
[ $failed = 0 ] && echo "lifecycle: all passed"
exit $failed
