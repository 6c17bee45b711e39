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

# sshd as long as the machine lives.
keep_sshd() {
    while :; do
        /usr/sbin/sshd -D
        say "sshd ended, starting it again"
    done
}
