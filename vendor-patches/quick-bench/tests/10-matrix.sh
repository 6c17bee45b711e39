# Every regulator with every kind of traffic: nothing lost, duplicated, reordered or changed, and counters agree.
regulators=$(asked regulators "nowait static literal paper gated ramjee1 ramjee2 ramjee3 ramjee4 playout breakeven dim")
sizes=$(asked sizes "60 98 256 512 1024 1514 60-1514")

# kinds NAME: all kinds of traffic.
kinds() {
    local size
    mark
    for size in $sizes; do
        check "$1: udp $size" rx udp --count 1200 --size $size --flows 4
    done
    check "$1: udp 60, sparse" rx udp --count 200 --size 60 --gap 3000
    check "$1: udp 60-1514, paced" rx udp --count 600 --size 60-1514 --gap 200 --flows 2
    check "$1: tcp bulk" rx bulk --count 3000
    check "$1: tcp requests" rx rr --count 100
    check "$1: tcp requests from the guest" tx rr --count 100
    check "$1: counters agree" consistent
    costs
}

load patched patched
check "connects" connect
echo "queues: $(ls -d /sys/class/net/vif0.0/queues/tx-* | wc -l)"
setting regulator off
kinds off
setting hold_max_us 1000
for regulator in $regulators; do
    setting containers 1
    setting regulator $regulator
    if [ $regulator = playout ]; then in_fe ethtool -C fe0 rx-usecs 1000; fi
    kinds $regulator
    in_fe ethtool -C fe0 rx-usecs 0
    if [ $regulator != nowait ]; then
        setting containers 0
        mark
        check "$regulator, hold only: udp" rx udp --count 1200 --size 60-1514 --flows 4
        check "$regulator, hold only: tcp bulk" rx bulk --count 1000
        check "$regulator, hold only: tcp requests" rx rr --count 50
        check "$regulator, hold only: counters agree" consistent
        costs
    fi
done
setting containers 1
for hold in 0 50 5000 20000; do
    setting hold_max_us $hold
    for regulator in $(asked regulators "static gated ramjee4 breakeven"); do
        setting regulator $regulator
        mark
        check "$regulator, T0 $hold us: udp" rx udp --count 1200 --size 60-1514 --flows 4
        check "$regulator, T0 $hold us: counters agree" consistent
        costs
    done
done
check "disconnects" disconnect
check "unloads" unload
check "no warning" no_warning
