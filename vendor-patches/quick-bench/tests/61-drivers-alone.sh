# The drivers alone, as far as that can be: the kernel's generator sends 60 B frames as fast as it can, to a station that
# is not there, so the guest's stack discards them first thing. Prints how many reach the guest in a second; run it with
# --virtual-time. What comes faster than the guest takes it is dropped by netback, packaged or not: that is counted.
count=100000
insmod /bench/stock/pktgen.ko
# Random numbers are dear until the kernel has collected enough for its generator.
head -c 1 /dev/random > /dev/null

came() { in_fe cat /proc/net/dev | awk '$1 == "fe0:" { print $3 }'; }
dropped() { cat /sys/class/net/vif0.0/statistics/tx_dropped; }
now_us() { awk '$1 == "now" { print int($3 / 1000) }' /proc/timer_list; }

# start_generator DEVICE
start_generator() {
    local dir=/proc/net/pktgen line
    echo rem_device_all > $dir/kpktgend_0
    echo "add_device $1" > $dir/kpktgend_0
    for line in "count $count" "pkt_size 60" "delay 0" "clone_skb 0" "dst $front" "dst_mac 00:16:3e:00:00:77"; do
        echo "$line" > $dir/$1
    done
    echo start > $dir/pgctrl
}

# generate NAME
generate() {
    local came=$(came) dropped=$(dropped) start=$(now_us) n us
    all_there() { [ $(($(came) - came + $(dropped) - dropped)) -ge $count ]; }
    start_generator vif0.0
    # What still is in the queue when the generator ends takes some milliseconds.
    for n in $(seq 200); do all_there && break; usleep 5000; done
    us=$(($(now_us) - start))
    check "$1: all came or were dropped" all_there
    came=$(($(came) - came)) dropped=$(($(dropped) - dropped))
    echo "== $1: came=$came dropped=$dropped us=$us: $((came * 1000000 / us)) packets/s"
}

# All but the drivers: generator and receiver with the loopback device between them.
start=$(now_us)
start_generator lo
us=$(($(now_us) - start))
echo "== loopback: us=$us: $((count * 1000000 / us)) packets/s"

load stock stock
check "packaged: connects" connect
generate packaged
disconnect; unload
load patched patched
check "patched: connects" connect
setting hold_max_us 5000
for regulator in off nowait static gated breakeven; do
    setting regulator $regulator
    mark
    generate $regulator
    await 15 agree
    costs
done
disconnect; unload
load stock stock
check "packaged again: connects" connect
generate "packaged again"
disconnect; unload
check "no warning" no_warning
