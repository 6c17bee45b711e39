# Any mix of packaged and patched drivers falls back to what the packaged ones do; packets larger than a container
# and fragments keep their order and content.
for pair in "stock patched" "patched stock" "patched patched"; do
    set -- $pair
    load $1 $2
    check "$pair: connects" connect
    if [ $1 = patched ]; then
        setting regulator gated
        [ $2 = stock ] && check "$pair: no containers asked for" [ "$(cat /sys/kernel/debug/xen-netback/vif0.0/agg_q0 | awk '$1 == "mode" { print $2 }')" = plain ]
    fi
    [ $2 = patched ] && fe_setting regulator paper
    check "$pair: udp" rx udp --count 1000 --size 60-1514 --flows 3
    check "$pair: udp back" tx udp --count 1000 --size 60-1514 --flows 3
    check "$pair: bulk" rx bulk --count 1000
    check "$pair: requests" rx rr --count 50
    [ $2 = patched ] && [ $1 = stock ] && check "$pair: no container came" [ "$(fe_counter rx_agg_containers)" = 0 ]
    if [ $1 = patched ] && [ $2 = stock ]; then
        check "$pair: no container was sent" [ "$(counter rx_agg_containers)" = 0 ]
        # Holding needs nothing of the frontend.
        setting containers 0
        setting regulator static
        check "$pair, hold only: udp" rx udp --count 1000 --size 60-1514
        check "$pair, hold only: bulk" rx bulk --count 1000
        check "$pair, hold only: held" [ "$(counter rx_agg_containers)" -gt 0 ]
    fi
    check "$pair: disconnects" disconnect
    check "$pair: unloads" unload
done

load patched patched
check "connects" connect
setting regulator static
fe_setting regulator static
ip link set vif0.0 mtu 9000
in_fe ip link set fe0 mtu 9000
for direction in rx tx; do
    # 4072 is the largest frame that is packed, 9014 takes three slots.
    check "$direction: up to 9014" $direction udp --count 1000 --size 60-9014
    check "$direction: 4060-4090" $direction udp --count 500 --size 4060-4090
    # Fragments of one datagram, some full, some small.
    check "$direction: fragments" $direction udp --count 200 --size 20000-30000
done
ip link set vif0.0 mtu 1500
in_fe ip link set fe0 mtu 1500
check "csum and sg off" ethtool -K vif0.0 tx off sg off
check "csum off: udp" rx udp --count 500 --size 60-1514
check "csum off: bulk" rx bulk --count 500
ethtool -K vif0.0 tx on sg on tso on > /dev/null
check "tso off" ethtool -K vif0.0 tso off gso off
mark
check "tso off: bulk" rx bulk --count 1000
check "tso off: counters agree" consistent
costs
ethtool -K vif0.0 tso on gso on > /dev/null

# The frontend is replaced while the backend stays: nothing of what the one negotiated must be left for the other.
swap_frontend() {
    echo vif-0 > /sys/bus/xen/drivers/vif/unbind
    rmmod xen_netfront && insmod /bench/$1/xen-netfront.ko &&
    await 10 state_is $B 4 && await 10 state_is $F 4 && place_frontend
}
check "swap: packaged frontend" swap_frontend stock
check "swap: nothing is asked for any more" [ "$(xenstore-read $F/request-rx-aggregation $F/request-tx-aggregation 2> /dev/null)" = "" ]
setting regulator static
check "swap: udp" rx udp --count 500 --size 60-1514
check "swap: udp back" tx udp --count 500 --size 60-1514
check "swap: no container was sent" [ "$(counter rx_agg_containers)" = 0 ]
check "swap: patched frontend" swap_frontend patched
check "swap back: udp" rx udp --count 500 --size 60-1514
check "swap back: in containers" [ "$(counter rx_agg_containers)" -gt 0 ]
check "disconnects" disconnect
check "unloads" unload
check "no warning" no_warning
