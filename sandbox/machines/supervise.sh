#!/bin/sh
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Keeps one machine running: supervise.sh NAME DIRECTORY LAYERS EXPORTS
# It is started in the machine's control group and in a mount namespace of its own: when it and the machine end,
# the root file system is unmounted by the kernel, whatever happened.
set -eu
name=$1 directory=$2 layers=$3 exports=$4
root=$directory/root

# A machine that was killed leaves this mark, and overlayfs would refuse the directory for it.
rm -rf "$directory/work/work/incompat"
# Nobody needs an emulated disk to survive a power failure of this host, and package installation is all fsync.
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$directory/upper,workdir=$directory/work,volatile" "$root" ||
    mount -t overlay overlay -o "lowerdir=$layers,upperdir=$directory/upper,workdir=$directory/work" "$root"

# On a hybrid host the machine shall see a pure cgroup2 tree, as it does on any present system.
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    for point in $(awk '$5 ~ "^/sys/fs/cgroup/" { print $5 }' /proc/self/mountinfo | sort -r); do umount "$point"; done
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi

set -- "--bind=$exports:/run/sandbox-exports"
for device in /dev/fuse /dev/autofs; do [ ! -e $device ] || set -- "$@" "--bind=$device"; done

export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
trap 'kill -TERM "$child" 2>/dev/null || :' TERM
while :; do
    systemd-nspawn --quiet --directory="$root" --machine="$name" --hostname="$(cat "$directory/hostname")" \
        --network-namespace-path="/run/netns/$name" --register=no --keep-unit --resolv-conf=off --timezone=off \
        --link-journal=no --console=pipe --capability=CAP_NET_ADMIN "$@" --boot </dev/null &
    child=$!
    code=0
    wait $child || code=$?
    while kill -0 $child 2>/dev/null; do code=0; wait $child || code=$?; done
    [ $code -eq 133 ] || exit $code # 133: the machine asked for a reboot
done
