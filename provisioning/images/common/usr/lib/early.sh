# What dom0 and the guests do first. Sourced by /init.
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
ip link set lo up
install -m 600 "/etc/ssh/host_keys/$(hostname)" /etc/ssh/host_key
