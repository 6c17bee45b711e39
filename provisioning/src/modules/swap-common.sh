# What swap-dom0.sh and swap-guest.sh share, and what stands in them where they source it. POSIX sh; busybox is enough.
#
# The folder of the script holds everything: `status` (what is being done, as key=value lines), `live` (the file
# that is loaded, or `stock`), `parameters` (those of the stock module), `pid`, `log`, `dmesg`.
set -u
PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL

step=start
live=stock
look_live() { [ ! -r "$here/live" ] || read -r live < "$here/live"; }
look_live

# report STATE [WHY]: replaces the status at once. STATE is running, ok or failed.
report() {
    {
        echo "state=$1"
        echo "step=$step"
        echo "live=$live"
        [ -z "${2-}" ] || echo "why=$(echo "$2" | tr '\n' ' ')"
    } > "$here/status.new"
    mv "$here/status.new" "$here/status"
    echo "$1 $step ${2-}"
}

# The kernel's last words, as they were at the first trouble.
keep_log() { [ -s "$here/dmesg" ] || dmesg 2>/dev/null | tail -n 30 > "$here/dmesg"; }

# fail WHY: the end.
fail() {
    keep_log
    report failed "$1"
    exit 1
}

state() { sed -n 's/^state=//p' "$here/status" 2>/dev/null; }

# wait_for SECONDS COMMAND...: asks again until it succeeds; false when the time is over.
wait_for() {
    wait_seconds=$1
    shift
    read -r wait_now wait_rest < /proc/uptime
    wait_end=$((${wait_now%%.*} + wait_seconds))
    until "$@"; do
        read -r wait_now wait_rest < /proc/uptime
        [ "${wait_now%%.*}" -lt "$wait_end" ] || return 1
        sleep 0.1
    done
}

# Is there a process of an earlier start?
alive() {
    [ -r "$here/pid" ] && read -r pid < "$here/pid" &&
        { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "$script"
}
is_done() { case $(state) in ok | failed) true ;; *) false ;; esac }
is_settled() { is_done || ! alive; }
has_begun() { [ -s "$here/status" ]; }

# start ARGUMENTS...: runs the swap apart from this session, which may end. One that is going on is let finish.
start() {
    wait_for 900 is_settled || {
        echo "another swap is still going on" >&2
        exit 1
    }
    if alive; then
        kill -TERM "-$pid"
        wait_for 30 ended
    fi
    was=$(state)
    rm -f "$here/status" "$here/dmesg"
    setsid sh "$script" run "${was:-none}" "$@" < /dev/null > "$here/log" 2>&1 &
    echo $! > "$here/pid"
    wait_for 60 has_begun || {
        echo "the swap did not start: $(cat "$here/log")" >&2
        exit 1
    }
}
ended() { ! alive; }

# finish SECONDS: waits for the end of the swap and prints how it went; false if it did not go well or goes on.
finish() {
    wait_for "$1" is_settled
    if ! is_done && ! alive; then
        step=killed
        report failed "the swap was killed in the middle" > /dev/null
    fi
    cat "$here/status"
    [ ! -s "$here/dmesg" ] || { echo "--- dmesg"; cat "$here/dmesg"; }
    [ "$(state)" = ok ]
}

# packaged FILE: where the distribution's own module lies.
packaged() { find "/lib/modules/$(uname -r)/kernel" -name "$1.ko*" | head -n 1; }

loaded() { [ -d "/sys/module/$1" ]; }

# save_parameters MODULE: those of the stock module, as the administrator has set them.
save_parameters() {
    [ "$live" = stock ] && loaded "$1" || return 0
    for file in "/sys/module/$1/parameters/"*; do
        [ -r "$file" ] && read -r value < "$file" && [ -n "$value" ] && echo "${file##*/}=$value"
    done > "$here/parameters"
}

# unload MODULE: false if it is in use; the reason is in $why.
unload() {
    loaded "$1" || return 0
    why=$(rmmod "$1" 2>&1) || return 1
}

# load NAME FILE [PARAMETERS...]: FILE may be `stock`. A file `spacer` names a module to be loaded first. False if the kernel refuses; the reason is in $why.
load() {
    load_name=$1
    load_file=$2
    shift 2
    [ -r "$here/parameters" ] && while read -r parameter; do set -- "$parameter" "$@"; done < "$here/parameters"
    load_path=$load_file
    [ "$load_file" != stock ] || load_path=$(packaged "$load_name")
    # One that is to lie where the old module lay, so that the new one lies elsewhere.
    if [ -r "$here/spacer" ]; then
        read -r load_spacer < "$here/spacer"
        why=$(modprobe "$load_spacer" 2>&1) || return 1
    fi
    why=$(insmod "$load_path" "$@" 2>&1) || return 1
    live=$load_file
    echo "$live" > "$here/live"
}
