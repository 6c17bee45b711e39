# XDP programs in the guest, VLANs, and multicast that the frontend has not asked for.

# attach pass|drop: an XDP program at the frontend's interface, until detach. netfront tells netback to leave room before
# each packet. netback goes to the state Reconfigured, and stays there.
attach() {
    /bench/xdp $1 fe0 $ns > /tmp/xdp 2>&1 &
    xdp=$!
    await 10 grep -q attached /tmp/xdp && await 10 state_is $B 8 && await 10 state_is $F 4
}
# netback looks at the headroom when it comes to it; until then its containers are refused.
answers() { await 10 ping -c1 -W1 $front; }
detach() { kill $xdp; wait $xdp; await 10 state_is $F 4; }
none_comes() { ! rx udp --count 20 --size 60; }

if [ -e /bench/stock/8021q.ko ]; then insmod /bench/stock/8021q.ko || echo "8021q is not loaded"; fi
load patched patched
check "connects" connect
for regulator in static breakeven; do
    setting regulator $regulator
    fe_setting regulator $regulator
    mark
    check "xdp, $regulator: attaches" attach pass
    check "xdp, $regulator: answers" answers
    check "xdp, $regulator: udp" rx udp --count 1000 --size 60-1400 --flows 3
    check "xdp, $regulator: udp back" tx udp --count 1000 --size 60-1400 --flows 3
    check "xdp, $regulator: requests" rx rr --count 50
    check "xdp, $regulator: no container passes the program by" [ "$(since | sed -n 's/^fe_rx_agg_containers=//p')" = 0 ]
    check "xdp, $regulator: detaches" detach
    check "xdp gone, $regulator: answers" answers
    mark
    check "xdp gone, $regulator: udp" rx udp --count 1000 --size 60-1400
    check "xdp gone, $regulator: in containers" [ "$(since | sed -n 's/^fe_rx_agg_containers=//p')" -gt 0 ]
done
check "xdp drops: attaches" attach drop
check "xdp drops: nothing comes" none_comes
check "xdp drops: detaches" detach
check "xdp drops no more" rx udp --count 500 --size 60-1400
# Containers are under way while a program is attached and taken away.
setting hold_max_us 20000
for n in 1 2 3 4 5; do
    ( rx udp --count 3000 --size 60-1400 --window 100000 > /dev/null ) &
    load_pid=$!
    check "xdp under load $n" attach pass
    check "xdp under load $n, detached" detach
    wait $load_pid
done
setting hold_max_us 1000
check "after xdp under load: udp" rx udp --count 500 --size 60-1400

if ip link add link vif0.0 name v7 type vlan id 7 2> /dev/null; then
    in_fe ip link add link fe0 name v7 type vlan id 7
    ip addr add 198.18.7.1/24 dev v7; ip link set v7 up
    in_fe ip addr add 198.18.7.2/24 dev v7; in_fe ip link set v7 up
    for regulator in static gated breakeven nowait; do
        setting regulator $regulator
        fe_setting regulator $regulator
        mark
        check "vlan, $regulator: udp" /bench/traffic udp --to 198.18.7.2 --to-ns $ns --count 500 --size 64-1514
        check "vlan, $regulator: udp back" /bench/traffic udp --to 198.18.7.1 --from-ns $ns --count 500 --size 64-1514
        check "vlan, $regulator: bulk" /bench/traffic bulk --to 198.18.7.2 --to-ns $ns --count 500
        check "vlan, $regulator: in containers" [ "$(since | sed -n 's/^fe_rx_agg_containers=//p')" -gt 0 ]
    done
    ip link del v7; in_fe ip link del v7
else
    echo "skipped: no 8021q module"
fi
check "disconnects" disconnect
check "unloads" unload

# A frontend that filters multicast gets none that it has not named, and all else, in order. Only forwarded packets are
# filtered, so the guest's own multicast is sent back to it by a bridge.
for module in llc stp bridge; do insmod /bench/stock/$module.ko 2> /dev/null; done
load patched patched
extra="$F/request-multicast-control 1"
check "multicast: connects" connect
extra=
setting regulator static
ip link add br0 type bridge
ip link set br0 up
ip link set vif0.0 master br0
echo 1 > /sys/class/net/vif0.0/brport/hairpin_mode
dropped() { cat /sys/class/net/vif0.0/statistics/tx_dropped; }
before=$(dropped)
in_fe ip route add 239.1.2.3/32 dev fe0
: > /tmp/loaded
( while [ -e /tmp/loaded ]; do in_fe ping -q -c 20 -i 0.01 -W 1 239.1.2.3; done > /dev/null 2>&1 ) &
some_dropped() { [ "$(dropped)" -gt "$before" ]; }
check "multicast: filtered" await 20 some_dropped
mark_now() { counters > /tmp/mark; }
mark_now
check "multicast: udp" rx udp --count 1000 --size 60-1514 --gap 500
check "multicast: in containers" [ "$(since | sed -n 's/^fe_rx_agg_containers=//p')" -gt 0 ]
rm /tmp/loaded; wait
ip link del br0
check "disconnects" disconnect
check "unloads" unload
check "nothing is leaked" no_leak
check "no warning" no_warning
