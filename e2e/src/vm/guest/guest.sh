#!/bin/sh
# Process 1 of the guest: makes a machine like a user's of it, runs the tests, and
# writes what came of them to the second disk.
set -eu

export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
busybox=/vm/busybox
. /vm/task

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
$busybox ifconfig lo up
# Swap that a function must not get.
mkswap /dev/vdc >/dev/null
swapon /dev/vdc

# Groups get a quota of CPU below, and keep it: with the first quota and with the last
# the kernel changes instructions of its scheduler, and a CPU that QEMU emulates may
# stop for ever at one that another CPU has changed. Here none has work yet.
case $cgroup in
v2)
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
    # As on a machine with systemd, where nothing but the kernel's threads is in
    # the root: whoever uses Lambent is in a group of a session.
    mkdir -p /sys/fs/cgroup/session
    echo $$ >/sys/fs/cgroup/session/cgroup.procs
    for controller in cpu memory pids; do
        if ! grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers; then
            echo "vm: this kernel has no v2 controller $controller" >&2
            exit 1
        fi
    done
    echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/quota
    echo '100000 100000' >/sys/fs/cgroup/quota/cpu.max
    ;;
v1)
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for controllers in cpu,cpuacct memory pids freezer devices; do
        mkdir "/sys/fs/cgroup/$controllers"
        if ! mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"; then
            echo "vm: this kernel has no v1 controllers $controllers" >&2
            exit 1
        fi
    done
    mkdir /sys/fs/cgroup/cpu,cpuacct/quota
    echo 100000 >/sys/fs/cgroup/cpu,cpuacct/quota/cpu.cfs_quota_us
    ;;
esac
# A sign of life, which the machine is watched for (`watch.rs`) and nobody sees.
while sleep 10; do printf '\0'; done &
echo "vm: Linux $(uname -r), cgroup $cgroup, up after $(cut -d' ' -f1 /proc/uptime) s"

export LAMBENT_BIN=/vm/lambent CARGO_TARGET_DIR=/vm/target LAMBENT_E2E_PATIENCE=$patience
# Its clock is nobody's but the tests'.
export LAMBENT_TEST_CLOCK=1
mkdir /run/results
cd /vm/workspace
status=0
/vm/cargo-nextest nextest run \
    --binaries-metadata /vm/binaries.json --cargo-metadata /vm/cargo.json \
    --workspace-remap /vm/workspace --target-dir-remap /vm/target \
    --profile "$profile" --filterset "$only" \
    --color never --show-progress none || status=$?
cp "/vm/workspace/target/nextest/$profile/junit.xml" /run/results/ || true
echo "$status" >/run/results/status
echo "vm: done after $(cut -d' ' -f1 /proc/uptime) s"
tar -C /run/results -cf /dev/vdb .
sync
$busybox poweroff -f
