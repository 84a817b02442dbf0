#!/bin/busybox sh
# Process 1 of the initramfs: loads the modules and goes to the disk. A failure
# ends it, and the kernel's panic then ends the machine.
set -eu

/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do
    /bin/busybox insmod "$module"
done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox cp /bin/busybox /guest /task /root/vm/
exec /bin/busybox switch_root /root /vm/guest
