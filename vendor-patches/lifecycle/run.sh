#!/usr/bin/env bash
# Two real guests, containers in both directions, and all that can happen to a guest meanwhile: paused, saved and restored,
# its interface taken away and given back, destroyed. Nothing may be left behind, and no kernel may complain.
#
#   run.sh [VIFBENCH]       the program; default target/release/vifbench of this repository
#
# Needs what the virtual lab needs, and takes it for itself (VIFBENCH_LAB_NAME names another). ROUNDS=N in the
# environment: so often, default 3. Ends with 0 if all went well. Takes about ten minutes.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vifbench=${1:-$here/../../target/release/vifbench}
swap=$here/../../provisioning/src/modules
rounds=${ROUNDS:-3}
failed=0

# on MACHINE COMMAND: a command there, not for ever.
on() { timeout 300 "$vifbench" lab ssh "$1" "$2" < /dev/null; }
# put MACHINE FILE...: files to its folder /run/swap.
put() {
  local machine=$1; shift
  tar -c --transform 's,.*/,,' "$@" 2> /dev/null |
    timeout 300 "$vifbench" lab ssh "$machine" 'mkdir -p /run/swap && tar -x -C /run/swap -f -'
}
# check NAME COMMAND...: tells.
check() {
  local name=$1; shift
  if "$@"; then echo "ok   $name"; else echo "FAIL $name"; failed=1; fi
}
# eventually MACHINE COMMAND: until it succeeds there. The waiting is done in the machine, whose time is another.
eventually() { on "$1" "for try in \$(seq 100); do $2 && exit 0; sleep 0.3; done; exit 1" > /dev/null 2>&1; }
answers() { eventually dom0 "ping -q -c 3 -W 2 $1"; }

trap '"$vifbench" lab down > /dev/null 2>&1' EXIT
"$vifbench" lab up || exit 1
modules=$("$vifbench" patches build | sed -n '/^aggregation /,$ s,^ *\(/.*\)/xen-netback.ko .*,\1,p')
[ -e "$modules/xen-netfront.ko" ] || { echo "run.sh: no modules" >&2; exit 1; }

# The generator's guest is not needed, and its netfront is to stay the packaged one.
guests="u1 u2"
swapped() {
  local guest
  on dom0 'xl destroy gen' || return 1
  for guest in $guests; do
    put $guest "$swap"/swap-common.sh "$swap"/swap-guest.sh "$modules/xen-netfront.ko" || return 1
    on $guest 'sh /run/swap/swap-guest.sh start /run/swap/xen-netfront.ko' || return 1
  done
  put dom0 "$swap"/swap-common.sh "$swap"/swap-dom0.sh "$modules/xen-netback.ko" || return 1
  on dom0 'sh /run/swap/swap-dom0.sh start /run/swap/xen-netback.ko rx_agg_regulator=static rx_agg_hold_max_us=20000' || return 1
  on dom0 'sh /run/swap/swap-dom0.sh finish 300' > /dev/null
}

# The load: the kernel's generator in dom0 sends to both guests, and each guest sends to dom0, as long as /run/load is
# there. What it goes out of may be gone for a while.
generator='cat > /run/generate <<"END"
#!/bin/sh
# generate INTERFACE MACHINE...: sends to each of them.
control=/proc/net/pktgen
interface=$1; shift
while [ -e /run/load ]; do
  echo rem_device_all > $control/kpktgend_0
  for to in "$@"; do
    echo "add_device $interface@$to" > $control/kpktgend_0 || continue
    set_up() { echo "$1" > "$control/$interface@$to"; }
    set_up "count 1000"; set_up "pkt_size 60"; set_up "delay 1000000"; set_up "udp_dst_min 9"; set_up "udp_dst_max 9"
    set_up "dst_mac $(awk -v to=$to "\$1 == to { print \$4 }" /etc/machines)"
    set_up "dst $(awk -v to=$to "\$1 == to { print \$2 }" /etc/machines)"
  done
  echo start > $control/pgctrl
  sleep 0.1
done
END
modprobe pktgen && : > /run/load'
# load MACHINE INTERFACE TO...
load() {
  local machine=$1; shift
  on "$machine" "$generator && (setsid sh /run/generate $* < /dev/null > /run/generate.log 2>&1 &)"
}
# A container's packets are held in both directions, so that there are always some that something happens to.
load_on() {
  local guest
  load dom0 xenbr0 u1 u2 || return 1
  for guest in $guests; do
    on $guest 'echo static > /sys/class/net/eth0/tx_agg_regulator; echo 20000 > /sys/class/net/eth0/tx_agg_hold_max_us' &&
      load $guest eth0 dom0 || return 1
  done
}
load_off() { local machine; for machine in dom0 $guests; do on $machine 'rm -f /run/load' || true; done; }

# complaints MACHINE: of its kernel; fails also if the machine does not say.
complaints() { on "$1" "dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace|refcount|Bad page|rcu.*stall|blocked for more'; true" || echo "$1 does not answer"; }
quiet() { ! complaints "$1" | grep .; }
# vif GUEST: a command in dom0 that prints its interface.
vif() { echo "vif\$(xl domid $1).0"; }
# grows MACHINE COMMAND: until the number that it prints there is larger than it is now.
grows() { eventually "$1" "was=\${was:-\$($2)}; [ \"\$($2)\" -gt \"\$was\" ]"; }
sent_to() { echo "ethtool -S $(vif "$1") | awk '\$1 == \"rx_agg_containers:\" { print \$2 }'"; }
taken_from() { echo "ethtool -S $(vif "$1") | awk '\$1 == \"tx_agg_containers:\" { print \$2 }'"; }
memory() { on dom0 "sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1; awk '\$1 == \"MemAvailable:\" { print \$2 }' /proc/meminfo"; }
# settings: the guest's own, of an interface that is new.
held_again() { on "$1" 'echo static > /sys/class/net/eth0/tx_agg_regulator; echo 20000 > /sys/class/net/eth0/tx_agg_hold_max_us'; }
both_ways() {
  check "$1: containers to $2" grows dom0 "$(sent_to "$2")"
  check "$1: containers from $2" grows dom0 "$(taken_from "$2")"
}

check "the patched pair is live in dom0 and both guests" swapped
check "load" load_on
# dom0's root takes half of its memory at most, which is less than a saved guest.
check "room for a guest" on dom0 'mkdir /run/saved /run/small && mount -t tmpfs -o size=240m saved /run/saved && mount -t tmpfs -o size=24m small /run/small'
both_ways start u1
both_ways start u2
first=
for round in $(seq "$rounds"); do
  check "$round: u1 is paused and goes on" on dom0 'xl pause u1 && sleep 2 && xl unpause u1'
  check "$round: u1 answers" answers 198.18.0.11
  check "$round: u1 is to be saved where there is no room, and goes on" on dom0 '! xl save u1 /run/small/u1 > /dev/null 2>&1; rm -f /run/small/u1'
  check "$round: u1 answers after that" answers 198.18.0.11
  both_ways "$round" u1
  check "$round: u1 is saved and restored" on dom0 'was=$(xl domid u1); xl save u1 /run/saved/u1 > /dev/null 2>&1 && xl restore /run/saved/u1 > /dev/null 2>&1; rm -f /run/saved/u1; [ "$(xl domid u1)" -gt $was ]'
  check "$round: u1 answers after that" answers 198.18.0.11
  both_ways "$round" u1
  check "$round: u2's interface goes" on dom0 'xl network-detach u2 0'
  check "$round: it is gone" eventually dom0 "! ip link show $(vif u2) > /dev/null 2>&1"
  check "$round: and comes back" on dom0 'xl network-attach u2 mac=$(awk "\$1 == \"u2\" { print \$4 }" /etc/machines) bridge=xenbr0'
  check "$round: u2 answers" answers 198.18.0.12
  check "$round: u2 holds again" held_again u2
  both_ways "$round" u2
  for machine in dom0 $guests; do check "$round: $machine's kernel is quiet" quiet $machine; done
  now=$(memory)
  first=${first:-$now}
  echo "     available in dom0: $now kB"
done
check "no memory is lost from round to round" [ "$now" -gt $((first - 4096)) ]

check "u1 is destroyed under load" on dom0 'xl destroy u1'
check "u1 is made anew, with the packaged driver" on dom0 'xl create -q /etc/xen/u1.cfg > /dev/null 2>&1'
check "u1 answers" answers 198.18.0.11
check "u1 gets packets one by one" on dom0 "[ \"\$($(sent_to u1))\" = 0 ]"
check "u2 is destroyed under load" on dom0 'xl destroy u2'
load_off
check "dom0's kernel is quiet" quiet dom0
# All interfaces gone: if the driver unloads, nothing of it is held.
check "u1 goes" on dom0 'xl destroy u1'
check "no interface is left" eventually dom0 '! ls -d /sys/class/net/vif* > /dev/null 2>&1'
check "netback unloads" on dom0 'rmmod xen_netback'
check "dom0's kernel is quiet" quiet dom0
[ $failed = 0 ] && echo "lifecycle: all passed"
exit $failed
