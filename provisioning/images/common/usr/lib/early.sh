# What dom0 and the guests do first. Sourced by /init. Debian's busybox shell prefers its own applets to
# what is on the PATH, hence /bin/ip.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /run/sshd
mount -t devpts devpts /dev/pts
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing

# say TEXT: one line in the kernel log, which is also the console.
say() { echo "vifbench: $*" > /dev/kmsg; }

# parameter NAME: its value on the kernel's command line.
parameter() { sed -n "s/.*\bvifbench\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

seed-random "$(parameter seed)"
hostname "$(parameter name)"
sysctl -q -p /etc/sysctl.conf
/bin/ip link set lo up
cp "/etc/ssh/host_keys/$(hostname)" /etc/ssh/host_key
chmod 600 /etc/ssh/host_key

# Zeroes the free memory, but for 8 MiB: pages of zeroes take no room in a saved state and no time to load. What booting
# leaves behind, unpacked archives most of all, is more than what is in use.
clear_free_memory() {
    mkdir -p /run/clear
    mount -t tmpfs -o size=100% clear /run/clear
    dd if=/dev/zero of=/run/clear/zeroes bs=1M count="$(awk '/^MemFree:/ { print int($2 / 1024) - 8 }' /proc/meminfo)" 2> /dev/null ||
        say "the free memory could not be cleared whole"
    umount /run/clear
    rmdir /run/clear
}

# sshd as long as the machine lives.
keep_sshd() {
    while :; do
        /usr/sbin/sshd -D
        say "sshd ended, starting it again"
    done
}
