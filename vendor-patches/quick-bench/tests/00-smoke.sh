# Stock pair, then the patched pair: do frames arrive in containers at all?
load stock stock
check "stock: connects" connect
check "stock: traffic" rx udp --count 2000
check "stock: traffic back" tx udp --count 2000
check "stock: disconnects" disconnect
check "stock: unloads" unload
load patched patched
check "patched: connects" connect
check "patched, off: traffic" rx udp --count 2000
set_parameter rx_agg_regulator static
check "patched, static: traffic" rx udp --count 20000 --size 60
ethtool -S vif0.0
cat /sys/kernel/debug/xen-netback/vif0.0/agg_q0
check "patched, static: mixed traffic" rx udp --count 5000 --size 60-1514
check "patched, static: bulk" rx bulk --count 2000
check "patched, static: requests" rx rr --count 200
set_parameter rx_agg_regulator nowait
check "patched, nowait: traffic" rx udp --count 20000 --size 60
ethtool -S vif0.0
check "patched: disconnects" disconnect
check "patched: unloads" unload
check "no warning" no_warning
