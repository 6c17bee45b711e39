# Functions of the tests. A vif has its backend, vif0.0, and its frontend, fe0 in the namespace fe, both in dom0.
passed=0 failed=0
# Neighbour discovery would add packets of its own to the counts.
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
nsenter --net=/run/netns/fe sh -c "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
back=198.18.0.1 front=198.18.0.2 ns=/run/netns/fe
B=backend/vif/0/0 F=device/vif/0

# asked NAME DEFAULT: what run.sh was told by its environment: bench.NAME of the kernel's command line.
asked() {
    local value=$(sed -n "s/.*bench.$1=\([^ ]*\).*/\1/p" /proc/cmdline | tr + ' ')
    echo "${value:-$2}"
}

# check NAME CONDITION...: counts and tells.
check() {
    local name=$1; shift
    if "$@"; then passed=$((passed + 1)); echo "ok   $name"
    else failed=$((failed + 1)); echo "FAIL $name"; fi
}

# await SECONDS COMMAND...: until it succeeds.
await() {
    local end=$((SECONDS + $1)); shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        usleep 50000
    done
}

# load stock|patched stock|patched [netback's parameters]: both modules.
load() {
    insmod /bench/$1/xen-netback.ko $3 && insmod /bench/$2/xen-netfront.ko $4
}

state_is() { [ "$(xenstore-read $1/state 2> /dev/null)" = "$2" ]; }

# connect: makes the vif and waits until both ends work.
connect() {
    local mac=00:16:3e:00:00:01
    xenstore-write $B/frontend /local/domain/0/$F $B/frontend-id 0 $B/online 1 $B/handle 0 $B/mac $mac \
        $B/script none $B/type vif $F/backend /local/domain/0/$B $F/backend-id 0 $F/handle 0 $F/mac $mac $extra
    xenstore-write $B/state 1 $F/state 1
    await 10 ip link show vif0.0 || return 1
    xenstore-write $B/hotplug-status connected
    ip addr add $back/24 dev vif0.0
    ip link set vif0.0 up
    await 10 state_is $B 4 && await 10 state_is $F 4 || return 1
    place_frontend
}

# place_frontend: moves the frontend's interface to its namespace and gives it its address.
place_frontend() {
    local name path
    for path in /sys/class/net/*; do
        [ "$(basename "$(readlink "$path/device")")" = vif-0 ] && name=$(basename "$path")
    done
    [ -n "$name" ] || return 1
    ip link set "$name" netns fe name fe0
    ip -n fe addr add $front/24 dev fe0
    ip -n fe link set fe0 up
    ip -n fe neigh replace $back lladdr "$(cat /sys/class/net/vif0.0/address)" dev fe0 nud permanent
    ip neigh replace $front lladdr 00:16:3e:00:00:01 dev vif0.0 nud permanent
    await 10 ping -c1 -W1 $front
}

# disconnect: takes both ends away, in the order that a toolstack does.
disconnect() {
    xenstore-write $B/online 0
    [ -e /sys/bus/xen/drivers/vif/vif-0 ] && echo vif-0 > /sys/bus/xen/drivers/vif/unbind
    state_is $F 6 || xenstore-write $F/state 6
    await 10 gone vif0.0
    xenstore-rm $B; xenstore-rm $F
    await 10 no_device
}
gone() { ! ip link show "$1" > /dev/null 2>&1; }
no_device() { [ ! -e /sys/bus/xen/devices/vif-0 ] && [ ! -e /sys/bus/xen-backend/devices/vif-0-0 ]; }

unload() { rmmod xen_netfront && rmmod xen_netback; }

# in_fe COMMAND...: in the frontend's namespace.
in_fe() { nsenter --net=$ns "$@"; }

# counter NAME / fe_counter NAME: of ethtool -S.
counter() { ethtool -S vif0.0 | awk -v n="$1:" '$1 == n { print $2 }'; }
fe_counter() { in_fe ethtool -S fe0 | awk -v n="$1:" '$1 == n { print $2 }'; }
# agg NAME [QUEUE]: of debugfs.
agg() { awk -v n="$1" '$1 == n { print $2; exit }' /sys/kernel/debug/xen-netback/vif0.0/agg_q${2:-0}; }

# rx/tx traffic of dom0 -> frontend, frontend -> dom0.
rx() { /bench/traffic "$@" --to $front --to-ns $ns; }
tx() { /bench/traffic "$@" --to $back --from-ns $ns; }

# set_parameter NAME VALUE: of netback.
set_parameter() { echo "$2" > /sys/module/xen_netback/parameters/$1; }

# no_leak: a kernel with kmemleak finds nothing that nobody points to. It looks twice, as it gives no object up that has
# only just been allocated (5 s), and objects may be seen as lost while they move.
no_leak() {
    local file=/sys/kernel/debug/kmemleak
    [ -e $file ] || return 0
    sleep 6
    echo scan > $file; echo scan > $file
    ! grep -A 30 '^unreferenced' $file
}

# no_warning: the kernel's log has none.
no_warning() { ! dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace'; }

# setting NAME [VALUE]: of the vif (sysfs); prints it, or sets it.
setting() {
    local file=/sys/class/net/vif0.0/aggregation/rx_$1
    if [ $# -gt 1 ]; then echo "$2" > $file; else cat $file; fi
}

# fe_setting NAME VALUE: of the frontend. sysfs shows the namespace that it was mounted in.
fe_setting() {
    in_fe unshare -m sh -c "mount -t sysfs fe /sys && echo $2 > /sys/class/net/fe0/tx_agg_$1"
}

# counters: all of both ends as `name=value` (the frontend's begin with fe_), and what the backend was given to send.
counters() {
    ethtool -S vif0.0 | awk '/: [0-9]/ { sub(":", "", $1); print $1 "=" $2 }'
    in_fe ethtool -S fe0 | awk '/: [0-9]/ { sub(":", "", $1); print "fe_" $1 "=" $2 }'
    echo "sent=$(cat /sys/class/net/vif0.0/statistics/tx_packets)"
}

# mark / consistent: remembers the counters, once nothing moves; does what left the backend since then agree with what
# reached the frontend?
mark() {
    counters > /tmp/mark
    until counters > /tmp/now; cmp -s /tmp/mark /tmp/now; do mv /tmp/now /tmp/mark; done
}
since() { counters > /tmp/now; awk -F= 'NR == FNR { was[$1] = $2; next } { print $1 "=" $2 - was[$1] }' /tmp/mark /tmp/now; }
agree() {
    local $(since)
    [ $fe_rx_agg_lost = 0 ] && [ $fe_rx_agg_bad = 0 ] && [ $fe_rx_slots = $rx_slots ] &&
    [ $((rx_agg_full + rx_agg_timeout + rx_agg_bypass + rx_agg_backlog)) = $rx_agg_containers ] || return 1
    if [ "$(setting regulator)" = off ]; then [ $rx_agg_containers = 0 ] && return 0; fi
    [ $((rx_agg_frames + rx_agg_bypass_frames)) = $sent ] || return 1
    if [ "$(setting containers)" = 1 ]; then
        [ $fe_rx_agg_containers = $rx_agg_containers ] && [ $fe_rx_agg_frames = $rx_agg_frames ]
    else
        [ $fe_rx_agg_containers = 0 ]
    fi
}
consistent() { await 15 agree || { since; return 1; }; }

# costs: what was spent since mark, on one line.
costs() {
    local $(since)
    echo "packets=$sent containers=$rx_agg_containers slots=$rx_slots copy_ops=$rx_copy_ops copy_calls=$rx_copy_calls notify=$rx_notify"
}
