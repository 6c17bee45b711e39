# Everything is taken away under load, again and again: by the frontend's end, by the backend's, by down and up, with
# packets held on both sides. Nothing is leaked (the modules unload, memory does not shrink) and nothing warns.

# load_on: four senders that do not care about losses.
load_on() {
    : > /tmp/loaded
    for n in 1 2; do
        ( while [ -e /tmp/loaded ]; do /bench/traffic udp --to $front --to-ns $ns --count 2000 --window 100000 --size 60-1514; done > /dev/null 2>&1 ) &
        ( while [ -e /tmp/loaded ]; do ping -q -f -c 200 -s 100 $front; in_fe ping -q -c 50 -A $back; done > /dev/null 2>&1 ) &
    done
    ( while [ -e /tmp/loaded ]; do cat /sys/kernel/debug/xen-netback/vif0.0/agg_q0; ethtool -S vif0.0; ethtool -c vif0.0; in_fe ethtool -S fe0; done > /dev/null 2>&1 ) &
}
load_off() { rm -f /tmp/loaded; wait; }
free_kb() { echo 3 > /proc/sys/vm/drop_caches; awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }

# round PAIR REGULATOR: connects, loads, changes, takes away.
round() {
    load $1 $1
    check "$1, $2: connects" connect
    if [ $1 = patched ]; then
        setting regulator $2
        setting hold_max_us 20000
        fe_setting regulator static
        fe_setting hold_max_us 20000
        in_fe ethtool -C fe0 rx-usecs 20000
    fi
    load_on
    usleep 500000
    in_fe ip link set fe0 down; usleep 100000; in_fe ip link set fe0 up
    ip link set vif0.0 down; usleep 100000; ip link set vif0.0 up
    if [ $1 = patched ]; then
        for other in off paper static $2; do setting regulator $other; usleep 30000; done
        setting containers 0; usleep 30000; setting containers 1
    fi
    usleep 200000
    check "$1, $2: disconnects under load" disconnect
    load_off
    check "$1, $2: unloads" unload
}

# lost PAIR: what is missing after four more rounds than one, in kB.
lost() {
    local before after regulator
    round $1 static
    before=$(free_kb)
    for regulator in nowait gated playout breakeven dim; do round $1 $regulator; done
    after=$(free_kb)
    missing=$((before - after))
    echo "$1: available after the first round $before kB, after the last $after kB"
    grep -E '^(Slab|SUnreclaim|Percpu|KernelStack|PageTables|Shmem):' /proc/meminfo | tr -s ' \n' ' '; echo
}
lost stock; missing_stock=$missing
lost patched
lost patched
echo "missing: packaged $missing_stock kB, patched $missing kB"
check "no more memory is lost than by the packaged drivers" [ $missing -lt $((missing_stock + 2048)) ]
check "nothing is leaked" no_leak
check "no warning" no_warning
