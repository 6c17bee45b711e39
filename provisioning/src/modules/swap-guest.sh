#!/bin/sh
# Swaps netfront in a guest, and brings the guest's network back: names, addresses, routes, permanent neighbours and
# settings. Goes on to do so each time that dom0 takes the vifs away and gives them back, as it must to swap netback.
# Needs no network while it runs. Between such times it sleeps.
#
#   swap-guest.sh start FILE|stock|back|keep [SECONDS]
#       returns when all is recorded; `back` is `stock` unless that is live, `keep` leaves the module alone; watches
#       for so many seconds, or until the next start or restart
#   swap-guest.sh finish SECONDS      waits for module and network and prints how it went (whole=no: no network yet)
#   swap-guest.sh record IF FOLDER    one interface
#   swap-guest.sh restore IF FOLDER
here=$(cd "$(dirname "$0")" && pwd)
script=$here/${0##*/}
. "$here/swap-common.sh"
links=$here/links
# Debian's busybox shell takes its own `ip` before the one on the PATH, which can do more.
for ip in /bin/ip /sbin/ip /usr/bin/ip /usr/sbin/ip; do [ ! -x $ip ] || break; done

is_vif() { case $(readlink "/sys/class/net/$1/device/driver") in */xen/drivers/vif) true ;; *) false ;; esac }

# The interface's keys under /proc/sys, as path:value. The mtu follows the link's. Some cannot be read before they are
# set. (busybox's `read` takes these files byte by byte, which they do not allow.)
sysctls() { grep -H . "/proc/sys/net/ipv4/conf/$1/"* "/proc/sys/net/ipv6/conf/$1/"* 2>/dev/null | grep -v '/mtu:'; }

# What the interface is like, as the kernel and the tools tell it.
record() {
    mkdir -p "$2"
    net=/sys/class/net/$1
    for key in ifindex address mtu tx_queue_len flags; do cat "$net/$key" > "$2/$key"; done
    echo "$1" > "$2/name"
    [ ! -e "$net/master" ] || basename "$(readlink "$net/master")" > "$2/master"
    $ip -o addr show dev "$1" > "$2/addr"
    $ip -4 route show table all dev "$1" > "$2/route4" 2>/dev/null
    $ip -6 route show table all dev "$1" > "$2/route6" 2>/dev/null
    $ip neigh show dev "$1" nud permanent > "$2/neigh"
    sysctls "$1" > "$2/sysctl"
    ethtool -k "$1" > "$2/offload" 2>/dev/null || rm -f "$2/offload"
}

# Makes the commands for `ip -batch` of what `ip -o addr` printed.
addresses() {
    awk -v dev="$1" '{
        family = $3; command = "addr replace " $4; label = ""; keep = 1; valid = ""
        for (i = 5; i <= NF; i++) {
            word = $i; sub(/\\$/, "", word)
            if (word == "") continue
            if (word ~ /^(peer|brd|broadcast|metric)$/) { command = command " " word " " $(i + 1); i++ }
            else if (word == "scope") { sub(/\\$/, "", $(i + 1)); if (family == "inet6" && $(i + 1) == "link") keep = 0
                                        command = command " scope " $(i + 1); i++ }
            else if (word == "proto") i++
            else if (word ~ /^(valid_lft|preferred_lft)$/) { life = $(i + 1); sub(/sec$/, "", life); i++
                                        if (life != "forever") valid = valid " " word " " life }
            else if (word ~ /^(noprefixroute|mngtmpaddr|home)$/) command = command " " word
            else if (word == "temporary") keep = 0
            else if (family == "inet" && index(word, dev) == 1) command = command " label " word
        }
        if (family == "inet6") command = command " nodad"
        if (keep && (family == "inet" || family == "inet6")) print command " dev " dev valid
    }' "$2"
}

# The kernel and router advertisements make their routes themselves. Those without a gateway come first.
routes() {
    awk -v dev="$1" '
        / proto (kernel|ra)( |$)/ || / table local( |$)/ || /^(local|broadcast|multicast|anycast) / { next }
        { gsub(/ (linkdown|dead|expires [^ ]*|error [^ ]*)/, "")
          if (/ via /) later = later "route replace " $0 " dev " dev "\n"; else print "route replace " $0 " dev " dev }
        END { printf "%s", later }' "$2"
}

neighbours() {
    awk -v dev="$1" '$2 == "lladdr" { print "neigh replace " $1 " lladdr " $3 " nud permanent dev " dev }' "$2"
}

# restore IF FOLDER: prints what could not be done.
restore() {
    read -r mtu < "$2/mtu"
    read -r queue < "$2/tx_queue_len"
    read -r flags < "$2/flags"
    # The name may be another one for now, and so the path.
    sed "s|/conf/[^/]*/|/conf/$1/|" "$2/sysctl" > "$2/sysctl.was"
    sysctls "$1" > "$2/sysctl.now"
    # A few keys take only some values or none; they are no part of what a swap promises.
    grep -vxFf "$2/sysctl.now" "$2/sysctl.was" |
        while IFS=: read -r file value; do echo "$value" > "$file"; done 2> "$2/ignored"
    [ ! -s "$2/offload" ] || offloads "$1" "$2/offload"
    {
        echo "link set dev $1 mtu $mtu txqueuelen $queue"
        [ ! -s "$2/master" ] || echo "link set dev $1 master $(cat "$2/master")"
        [ $((flags & 1)) = 0 ] || echo "link set dev $1 up"
        addresses "$1" "$2/addr"
    } > "$2/batch"
    $ip -force -batch "$2/batch" 2>&1
    # Routes of a link that is down cannot be, and were not.
    [ $((flags & 1)) != 0 ] || return 0
    routes "$1" "$2/route4" > "$2/batch4"
    routes "$1" "$2/route6" > "$2/batch6"
    neighbours "$1" "$2/neigh" > "$2/batch"
    $ip -4 -force -batch "$2/batch4" 2>&1
    $ip -6 -force -batch "$2/batch6" 2>&1
    $ip -force -batch "$2/batch" 2>&1
}

# offloads IF FILE: sets what differs and can be set.
offloads() {
    ethtool -k "$1" > "$2.now" 2>/dev/null || return 0
    awk 'NR == FNR { if (!/\[fixed\]/) was[$1] = $2; next }
         ($1 in was) && was[$1] != $2 && !/\[fixed\]/ { sub(/:$/, "", $1); print $1, was[$1 ":"] }' "$2" "$2.now" |
        while read -r feature value; do
            # It tells of side effects when it succeeds.
            said=$(ethtool -K "$1" "$feature" "$value" 2>&1) || echo "$feature $value: $said"
        done
}

record_all() {
    rm -rf "$links"
    for net in /sys/class/net/*; do
        name=${net##*/}
        ! is_vif "$name" || record "$name" "$links/$name"
    done
    [ -d "$links" ]
}

# find_link MAC: sets found to the vif's interface.
find_link() {
    for net in /sys/class/net/*; do
        found=${net##*/}
        address=
        { read -r address < "$net/address"; } 2>/dev/null
        [ "$address" != "$1" ] || ! is_vif "$found" || return 0
    done
    return 1
}

# Devices that are there hold the module.
unload_netfront() {
    for device in /sys/bus/xen/drivers/vif/vif-*; do
        [ ! -e "$device" ] || echo "${device##*/}" > /sys/bus/xen/drivers/vif/unbind
    done
    unload xen_netfront
}

# A device manager may be quicker and load the packaged module for the new device.
load_netfront() {
    unload_netfront && load xen-netfront "$1"
}

# mend FOLDER: restores the recorded vif's network if the vif is there anew; false if it is not there at all. Adds to
# $problems what could not be done.
mend() {
    read -r mac < "$1/address"
    read -r name < "$1/name"
    read -r was < "$1/ifindex"
    find_link "$mac" || return 1
    read -r now < "/sys/class/net/$found/ifindex"
    [ "$now" != "$was" ] || return 0
    # It may still be about to be renamed.
    ! command -v udevadm > /dev/null 2>&1 || udevadm settle
    find_link "$mac" || return 1
    if [ "$found" != "$name" ]; then
        said=$({ $ip link set dev "$found" down && $ip link set dev "$found" name "$name"; } 2>&1) ||
            problems="$problems $found could not be renamed to $name: $said;"
        find_link "$mac" || return 1
    fi
    said=$(restore "$found" "$1")
    [ -z "$said" ] || problems="$problems $found: $said;"
    echo "$now" > "$1/ifindex"
}

# Every recorded vif is there, with its network.
mend_all() {
    missing=
    for folder in "$links"/*; do
        mend "$folder" || missing="$missing no vif with the MAC $mac ($name) came back;"
    done
    [ -z "$missing" ]
}

is_whole() {
    for folder in "$links"/*; do
        read -r mac < "$folder/address"
        read -r was < "$folder/ifindex"
        find_link "$mac" && read -r now < "/sys/class/net/$found/ifindex" && [ "$now" = "$was" ] || return 1
    done
}

swap() {
    step=record
    save_parameters xen_netfront
    # After a swap that failed, the network as it should be is what was recorded before.
    { [ "$1" = failed ] && [ -d "$links" ]; } || record_all || fail "this guest has no vif"
    report running
    problems=
    trouble=
    file=$2
    if [ "$file" = back ]; then
        file=stock
        [ "$live" != stock ] || ! loaded xen_netfront || file=keep
    fi
    if [ "$file" != keep ]; then
        step=unload
        report running
        if wait_for 60 unload_netfront; then
            step=load
            report running
            load_netfront "$file" || {
                trouble=$why
                keep_log
                load_netfront stock || trouble="$trouble; and the packaged module could not be brought back: $why"
            }
        else
            trouble=$why
        fi
    fi
    failed=$step
    step=restore
    report running
    wait_for 300 mend_all || problems="$problems $missing"
    if [ -n "$trouble" ]; then
        step=$failed
        report failed "$trouble${problems:+; $problems}"
    elif [ -n "$problems" ]; then
        fail "$problems"
    else
        step=done
        report ok
    fi
}

# For each line that tells of a link's change.
watch() {
    while read -r event; do
        problems=
        mend_all
        [ -n "$problems" ] || continue
        look_live
        step=restore
        report failed "$problems"
    done
}

# The monitor listens before anything is changed; what it sees meanwhile is looked at afterwards.
run() {
    was=$1
    life=${3-}
    ${life:+timeout "$life"} $ip monitor link 2>/dev/null | {
        (swap "$was" "$2" < /dev/null)
        watch
    }
}

case $1 in
    start | record | restore) "$@" ;;
    run)
        shift
        run "$@"
        ;;
    finish)
        wait_for "$2" is_settled && wait_for "$2" is_whole || echo "whole=no"
        finish "$2" && is_whole
        ;;
    *)
        echo "usage: $0 start FILE|stock|back|keep [SECONDS] | finish SECONDS | record IF FOLDER | restore IF FOLDER" >&2
        exit 2
        ;;
esac
