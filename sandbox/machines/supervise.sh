#!/bin/sh
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# Keeps one machine running: supervise.sh PREFIX NAME DIRECTORY LAYERS EXPORTS
# It is started in the machine's control group and in a mount namespace of its own: when it and the machine end,
# the root file system is unmounted by the kernel, whatever happened.
set -eu

mount_root() {
    # A machine that was killed leaves this mark, and overlayfs would refuse the directory for it.
    rm -rf "$directory/work/work/incompat"
    options=lowerdir=$layers,upperdir=$directory/upper,workdir=$directory/work
    # No emulated disk needs to survive a power failure of this host, and package installation is all fsync.
    mount -t overlay overlay -o "$options,volatile" "$root" || mount -t overlay overlay -o "$options" "$root"
}

# On a hybrid host the machine shall see a pure cgroup2 tree, as it does on any present system.
make_cgroup2_pure() {
    [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ] || return 0
    awk '$5 ~ "^/sys/fs/cgroup/" { print $5 }' /proc/self/mountinfo | sort -r | while read -r point; do umount "$point"; done
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# Controllers can be handed down by groups without processes of their own only: this script and the machine live in
# subgroups. Where version 1 has the controllers nothing can be enabled, and limits inside the machine have no effect.
make_groups() {
    mkdir -p "$group/keeper" "$group/machine"
    echo $$ >"$group/keeper/cgroup.procs"
    for controller in cpu io memory pids; do
        for place in "${group%/*}" "$group"; do
            { echo "+$controller" >"$place/cgroup.subtree_control"; } 2>/dev/null || break
        done
    done
}

# Everything is a function so that the shell has read the whole file before anything runs: it may be replaced meanwhile.
main() {
    prefix=$1 name=$2 directory=$3 layers=$4 exports=$5
    root=$directory/root
    group=/sys/fs/cgroup/$prefix/$name
    mount_root
    make_cgroup2_pure
    make_groups
    set -- "--bind=$exports:/run/sandbox-exports"
    for device in /dev/fuse /dev/autofs; do [ ! -e $device ] || set -- "$@" "--bind=$device"; done
    export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
    trap 'kill -TERM "$child" 2>/dev/null || :' TERM
    while :; do
        /bin/sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group/machine" \
            systemd-nspawn --quiet --directory="$root" --machine="$name" --hostname="$(cat "$directory/hostname")" \
            --network-namespace-path="/run/netns/$name" --register=no --keep-unit --resolv-conf=off --timezone=off \
            --link-journal=no --console=read-only --capability=CAP_NET_ADMIN "$@" --boot </dev/null &
        child=$!
        code=0
        wait $child || code=$?
        while kill -0 $child 2>/dev/null; do code=0; wait $child || code=$?; done
        [ $code -eq 133 ] || exit $code # 133: the machine asked for a reboot
    done
}

main "$@"
