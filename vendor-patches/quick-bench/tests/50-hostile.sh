# One end is hostile: it damages its containers in each of the ways of xen_netagg_attack.h. A bad guest loses its
# interface, and nothing else happens; a bad backend's containers are refused as a whole, and traffic goes on after.
if [ ! -e /bench/hostile/xen-netfront.ko ]; then
    echo "skipped: no hostile modules (run.sh --hostile)"
    return 0
fi

# disabled: the backend has given the interface up.
disabled() { dmesg | grep -q "fatal error; disabling device"; }
# from_guest: a few packets that nobody has to get.
from_guest() { in_fe ping -q -c 3 -i 0.05 -W 1 198.18.0.77 > /dev/null 2>&1; in_fe arping -q -c 2 -I fe0 198.18.0.77 > /dev/null 2>&1 || true; }
# start PARAMETERS: loads the pair with the frontend's parameters and connects; from then on it sends containers.
start() {
    dmesg -c > /dev/null
    load patched hostile "" "$1"
    connect && fe_setting regulator static
}
fe_parameter() { echo "$2" > /sys/module/xen_netfront/parameters/$1; }
stop() { disconnect && unload; }

for attack in $(seq 24); do
    start "attack=$attack" || check "guest, attack $attack: connects" false
    from_guest
    check "guest, attack $attack: interface disabled" await 5 disabled
    check "guest, attack $attack: nothing was let through" [ "$(counter tx_agg_frames)" = 0 ]
    check "guest, attack $attack: gone, and unloads" stop
done

start "uninvited=1"
from_guest
check "guest, not negotiated: interface disabled" await 5 disabled
check "guest, not negotiated: unloads" stop

start ""
fe_parameter attack 100
from_guest
fe_parameter attack 0
check "guest, bad grant: not disabled" eval '! disabled'
check "guest, bad grant: traffic goes on" tx udp --count 500 --size 60
check "guest, bad grant: unloads" stop

start ""
fe_parameter attack 101
# Each small packet becomes 170 frames.
for n in 1 2 3; do from_guest; done
fe_parameter attack 0
check "guest, 170 frames a container: not disabled" eval '! disabled'
check "guest, 170 frames a container: all came" [ "$(counter tx_agg_frames)" -ge 170 ]
check "guest, 170 frames a container: traffic goes on" tx udp --count 500 --size 60
check "guest, 170 frames a container: unloads" stop

# The page changes while the backend may look: with luck a frame is garbage, without the interface is disabled.
start ""
fe_parameter attack 102
for n in $(seq 20); do from_guest; disabled && break; done
echo "guest, page changes: $(disabled && echo disabled || echo 'not disabled')"
check "guest, page changes: unloads" stop
check "no warning" no_warning

# The backend is the hostile one.
load hostile patched
check "backend: connects" connect
setting regulator static
errors() { in_fe unshare -m sh -c "mount -t sysfs fe /sys && cat /sys/class/net/fe0/statistics/rx_errors"; }
for attack in $(seq 24); do
    before=$(errors) frames=$(fe_counter rx_agg_frames)
    set_parameter attack $attack
    ping -q -c 3 -i 0.05 -W 1 $front > /dev/null 2>&1
    usleep 20000
    check "backend, attack $attack: refused" [ "$(errors)" -gt "$before" ]
    check "backend, attack $attack: nothing of it used" [ "$(fe_counter rx_agg_frames)" = "$frames" ]
    set_parameter attack 0
    check "backend, attack $attack: traffic goes on" rx udp --count 200 --size 60-1514
done
check "backend: disconnects" disconnect
check "backend: unloads" unload
# Containers that the frontend did not ask for.
load hostile patched "" "rx_aggregation=0"
check "backend: connects without containers" connect
setting regulator static
check "backend, not asked for: traffic" rx udp --count 500 --size 60
check "backend, not asked for: none was sent" [ "$(counter rx_agg_containers)" = 0 ]
check "backend: disconnects" disconnect
check "backend: unloads" unload
check "no warning" no_warning
