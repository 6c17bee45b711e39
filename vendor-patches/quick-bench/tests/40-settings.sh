# Parameters, sysfs and ethtool: what is accepted, refused and shown.
refused() { ! "$@" 2> /dev/null; }
load patched patched "rx_agg_regulator=paper rx_agg_hold_max_us=700"
check "connects" connect
check "parameter is the default" [ "$(setting regulator) $(setting hold_max_us) $(setting containers)" = "paper 700 1" ]
set_parameter rx_agg_regulator gated
check "which may change" [ "$(setting regulator)" = gated ]
for regulator in off nowait static literal paper gated ramjee1 ramjee2 ramjee3 ramjee4 playout dim; do
    setting regulator $regulator
    check "sysfs: $regulator" [ "$(setting regulator)" = $regulator ]
done
set_parameter rx_agg_regulator off
check "own setting stays" [ "$(setting regulator)" = dim ]
setting regulator default
check "default goes back" [ "$(setting regulator)" = off ]
check "refused: unknown regulator" refused setting regulator best
check "refused: 20001 us" refused setting hold_max_us 20001
check "refused: -1 us" refused setting hold_max_us -1
check "refused: parameter 20001" refused set_parameter rx_agg_hold_max_us 20001
check "refused: parameter" refused set_parameter rx_agg_regulator best
check "refused: ethtool 20001" refused ethtool -C vif0.0 tx-usecs 20001
check "refused: ethtool rx-usecs" refused ethtool -C vif0.0 rx-usecs 5
check "ethtool sets T0" ethtool -C vif0.0 tx-usecs 1234
check "sysfs shows it" [ "$(setting hold_max_us)" = 1234 ]
check "ethtool adaptive" ethtool -C vif0.0 adaptive-tx on
check "means gated" [ "$(setting regulator)" = gated ]
check "ethtool not adaptive" ethtool -C vif0.0 adaptive-tx off
check "means static" [ "$(setting regulator)" = static ]
check "frontend: ethtool" in_fe ethtool -C fe0 rx-usecs 500 tx-usecs 700
check "frontend: shown" [ "$(in_fe ethtool -c fe0 | awk '$1 == "rx-usecs:" || $1 == "tx-usecs:" { printf "%s ", $2 }')" = "500 700 " ]
check "frontend: refused" refused in_fe ethtool -C fe0 rx-usecs 20001

# Trace events of both ends tell the same story.
setting regulator static
setting hold_max_us 1000
echo 1 > /sys/kernel/tracing/events/xen_netback/enable
echo 1 > /sys/kernel/tracing/events/xen_netfront/enable
check "traffic" rx udp --count 500 --size 60 --gap 200
usleep 100000
echo 0 > /sys/kernel/tracing/events/enable
grep -c xenvif_agg_release /sys/kernel/tracing/trace > /tmp/released
grep -c xennet_agg_unpack /sys/kernel/tracing/trace > /tmp/unpacked
grep -m1 xenvif_agg_release /sys/kernel/tracing/trace
grep -m1 xennet_agg_unpack /sys/kernel/tracing/trace
check "as many events of one as of the other" cmp /tmp/released /tmp/unpacked
check "and some" [ "$(cat /tmp/released)" -gt 10 ]

# Shadow mode: nothing is packed, but it is told what would be.
set_parameter rx_agg_shadow 1
before=$(fe_counter rx_agg_containers) count=$(counter rx_agg_containers)
check "shadow: traffic" rx udp --count 500 --size 60 --gap 200
check "shadow: no container" [ "$(fe_counter rx_agg_containers)" = "$before" ]
check "shadow: accounted" [ "$(counter rx_agg_containers)" -gt "$count" ]
set_parameter rx_agg_shadow 0

# While the settings change all the time, nothing is lost.
( while [ ! -e /tmp/stop ]; do
    for r in static nowait off gated literal playout ramjee3; do setting regulator $r; setting hold_max_us $((RANDOM % 5000)); done
    setting containers 0; setting regulator static; setting containers 1
done ) &
check "changing settings: udp" rx udp --count 5000 --size 60-1514 --flows 4
check "changing settings: bulk" rx bulk --count 2000
check "changing settings: requests" rx rr --count 100
touch /tmp/stop; wait; rm /tmp/stop
check "disconnects" disconnect
check "unloads" unload
check "no warning" no_warning
