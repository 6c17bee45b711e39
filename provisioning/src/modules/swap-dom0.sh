#!/bin/sh
# Swaps netback in dom0: takes all vifs away, loads the other module, gives them back as they were. Goes on, or
# puts the packaged module back, when whoever started it is gone.
#
# The guests' own part is swap-guest.sh, which has to run in each before the vifs go.
#
#   swap-dom0.sh start FILE|stock|back [PARAMETER=VALUE...]
#       returns when the swap is under way; `back` is `stock` unless that is live and nothing is half done
#   swap-dom0.sh finish SECONDS    waits for its end and prints how it went
here=$(cd "$(dirname "$0")" && pwd)
script=$here/${0##*/}
. "$here/swap-common.sh"
for folder in /usr/lib/xen-*/bin; do PATH=$PATH:$folder; done

backends=/local/domain/0/backend/vif
vifs=$here/vifs

# One file for each vif: domain, device, MAC, its state, then what `xl network-attach` is to be told, a line each.
record() {
    mkdir -p "$vifs"
    for domain in $(xenstore-list $backends 2>/dev/null); do
        for device in $(xenstore-list "$backends/$domain" 2>/dev/null); do
            record_vif "$backends/$domain/$device"
        done
    done
}

record_vif() {
    mac=$(xenstore-read "$1/mac") || return 0
    # What an earlier swap recorded, and did not live to give back, stays as it is.
    [ ! -e "$vifs/$domain-$mac" ] || return 0
    {
        echo "$domain"
        echo "$device"
        echo "$mac"
        xenstore-read "$1/state"
        echo type=vif
        echo "mac=$mac"
        for key in bridge script vifname ip gatewaydev; do
            value=$(xenstore-read "$1/$key" 2>/dev/null) && [ -n "$value" ] && echo "$key=$value"
        done
        rate=$(xenstore-read "$1/rate" 2>/dev/null) && [ "${rate#*,}" != 0 ] &&
            echo "rate=$((${rate%,*} * 1000000 / ${rate#*,}))B/s@${rate#*,}us"
    } > "$vifs/.new"
    mv "$vifs/.new" "$vifs/$domain-$mac"
}

# read_vif FILE: sets domain, device, mac and before; false if the domain is gone.
read_vif() {
    { read -r domain && read -r device && read -r mac && read -r before; } < "$1" &&
        xenstore-read "/local/domain/$domain/name" > /dev/null 2>&1
}

# The place in xenstore of the vif that was read, if it is there.
find_vif() {
    for device in $(xenstore-list "$backends/$domain" 2>/dev/null); do
        [ "$(xenstore-read "$backends/$domain/$device/mac" 2>/dev/null)" != "$mac" ] || return 0
    done
    return 1
}

detach_all() {
    for file in "$vifs"/*; do
        read_vif "$file" && find_vif || continue
        why=$(xl network-detach "$domain" "$device" 2>&1 < /dev/null) || {
            why="vif$domain.$device: $why"
            return 1
        }
    done
    none_left() { ! ls -d /sys/bus/xen-backend/devices/vif-* > /dev/null 2>&1; }
    wait_for 60 none_left || {
        why="still there: $(cd /sys/bus/xen-backend/devices && echo vif-*)"
        return 1
    }
}

attach_all() {
    for file in "$vifs"/*; do
        read_vif "$file" || continue
        ! find_vif || continue
        set --
        while read -r argument; do
            set -- "$@" "$argument"
        done < "$file"
        shift 4
        why=$(xl network-attach "$domain" "$@" 2>&1 < /dev/null) || {
            why="the vif of domain $domain with MAC $mac: $why"
            return 1
        }
    done
}

# Connected is state 4. A vif that was not connected before need not be now.
all_connected() {
    for file in "$vifs"/*; do
        read_vif "$file" && [ "$before" = 4 ] || continue
        if ! find_vif; then
            why="the vif of domain $domain with MAC $mac is not there"
            return 1
        fi
        now=$(xenstore-read "$backends/$domain/$device/state" 2>/dev/null)
        front=$(xenstore-read "/local/domain/$domain/device/vif/$device/state" 2>/dev/null)
        if [ "$now" != 4 ] || [ "$front" != 4 ]; then
            why="vif$domain.$device is not connected (backend in state ${now:-none}, frontend in ${front:-none})"
            return 1
        fi
    done
}

unload_netback() { unload xen_netback; }

# The way back, after WHY: the packaged module and all vifs.
roll_back() {
    first="$1"
    failed=$step
    keep_log
    if [ "$live" != stock ] || ! loaded xen_netback; then
        step=roll-back
        report running "$first"
        detach_all && wait_for 60 unload_netback && load xen-netback stock ||
            fail "$failed: $first; and the packaged module could not be brought back: $why"
    fi
    if attach_all && wait_for 120 all_connected; then
        rm -r "$vifs"
    else
        first="$first; and the vifs were not all brought back: $why"
    fi
    step=$failed
    fail "$first"
}

swap() {
    wanted=$1
    shift
    if [ "$wanted" = back ]; then
        if [ "$live" = stock ] && loaded xen_netback && [ ! -d "$vifs" ]; then
            step=done
            report ok
            return
        fi
        wanted=stock
    fi
    step=record
    report running
    save_parameters xen_netback
    record || fail "the vifs could not be recorded"
    step=detach
    report running
    detach_all || roll_back "$why"
    step=unload
    report running
    wait_for 60 unload_netback || roll_back "$why"
    step=load
    report running
    load xen-netback "$wanted" "$@" || roll_back "$why"
    step=attach
    report running
    attach_all || roll_back "$why"
    step=connect
    report running
    wait_for 180 all_connected || roll_back "$why"
    rm -r "$vifs"
    step=done
    report ok
}

case $1 in
    start | finish) "$@" ;;
    run)
        shift 2
        swap "$@"
        ;;
    *)
        echo "usage: $0 start FILE|stock|back [PARAMETER=VALUE...] | finish SECONDS" >&2
        exit 2
        ;;
esac
