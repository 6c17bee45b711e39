# What packets cost with and without containers. Prints figures for TESTING.md; run it with --virtual-time, where they
# are the same each time. The checks are counts, never times.

# saturate NAME: 64 B frames as fast as the sender can, many under way.
saturate() {
    echo "== $1"
    rx udp --count 20000 --size 64 --window 4096
}
# one NAME: one packet under way at any time.
one() { echo "== $1"; rx udp --count 1000 --size 64 --window 1; }

# Random numbers are dear until the kernel has collected enough for its generator: 1,000 instructions a packet.
head -c 1 /dev/random > /dev/null

load stock stock
check "packaged: connects" connect
saturate "packaged: saturated"
one "packaged: one under way"
echo "== packaged: bulk"; rx bulk --count 20000
disconnect; unload

load patched patched
check "patched: connects" connect
for regulator in off nowait static gated breakeven; do
    setting regulator $regulator
    setting hold_max_us 5000
    mark
    saturate "$regulator: saturated, T0 5 ms"
    await 15 agree
    costs
    if [ $regulator != off ]; then
        slots=$(since | sed -n 's/^rx_slots=//p') ops=$(since | sed -n 's/^rx_copy_ops=//p')
        [ $regulator = static ] && check "static: a slot for 20 packets or more" [ $((slots * 20)) -le 20000 ]
        [ $regulator = static ] && check "static: a grant copy for 20 packets or more" [ $((ops * 20)) -le 20000 ]
    fi
done
for regulator in off nowait; do
    setting regulator $regulator
    mark
    one "$regulator: one under way"
    await 15 agree
    costs
done
for regulator in off static gated breakeven nowait; do
    setting regulator $regulator
    setting hold_max_us 1000
    mark
    echo "== $regulator: bulk"
    rx bulk --count 20000
    await 15 agree
    costs
done
# 200 packets a second: what does each wait for?
for regulator in static literal paper gated ramjee1 ramjee2 ramjee3 ramjee4 breakeven dim; do
    setting regulator $regulator
    mark
    rx udp --count 1000 --size 64 --gap 5000 > /tmp/out
    local_wait=$(since | sed -n 's/^rx_agg_wait_ns=//p') local_frames=$(since | sed -n 's/^rx_agg_frames=//p')
    echo "== $regulator at 200/s: mean wait $((local_wait / local_frames)) ns, frames $local_frames; $(cat /tmp/out)"
    eval "wait_$regulator=$((local_wait / local_frames))"
done
check "gated waits 5 % of static's time at most" [ $((wait_gated * 20)) -le $wait_static ]
# The paper's own case: requests and responses, one at a time.
for hold in 50 500 2000 10000; do
    for regulator in static literal paper gated breakeven; do
        setting regulator $regulator
        setting hold_max_us $hold
        echo "== $regulator, T0 $hold us: 500 requests"
        rx rr --count 500
    done
done
check "disconnects" disconnect
check "unloads" unload
# The packaged pair again: does the place in this file matter?
load stock stock
check "packaged again: connects" connect
saturate "packaged again: saturated"
check "packaged again: disconnects" disconnect
check "packaged again: unloads" unload
check "no warning" no_warning
