# shellcheck shell=bash
# A machine: the root under an overlay, booted with a real systemd as PID 1, removed after its suite.
# All of it is in namespaces of this run: when the run ends, however it ends, processes and mounts are gone.

MACHINE='' LEADER='' ROOT=''

# machine NAME: an overlay over the root, in ROOT, with the packages of this run in /rig.
machine() {
    MACHINE=$1
    local place=$WORK/$MACHINE
    ROOT=$place/root
    mkdir -p "$place"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$place/upper,workdir=$place/work" "$ROOT" ||
        give_up "no overlay at $ROOT: the cache ($CACHE) must be on a file system that can be its upper layer"
    mkdir -p "$ROOT/rig/bin"
    cp "$HERE"/inside/* "$LOAD" "$ROOT/rig/bin/"
}

# Boots the machine and waits until systemd has started.
boot() {
    enter_cgroup "polyport-rig.$INNER.$MACHINE" || give_up "no cgroup of its own for $MACHINE"
    # nspawn's own filter would hide the unit's; hosts with cgroup v1 give pure v2 to the machine.
    SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --boot --directory="$ROOT" \
        --machine="$MACHINE" --register=no --keep-unit --private-network --link-journal=no \
        --resolv-conf=off --timezone=off --capability=all --drop-capability=CAP_SYS_MODULE \
        --console=pipe </dev/null >"$WORK/$MACHINE/console" 2>&1 &
    NSPAWN=$!
    within 30 leader_of "$NSPAWN" || give_up "nspawn did not start: $(tail -n 5 "$WORK/$MACHINE/console")"
    LEADER=$(leader_of "$NSPAWN")
    within 60 is_running || give_up "systemd did not come up: $(inside systemctl --failed --no-pager 2>&1)"
    # A container's /run is executable; that of a host is not.
    inside mount -o remount,noexec /run
}

leader_of() { pgrep --parent "$1"; }

is_running() { [[ $(inside systemctl is-system-running) =~ ^(running|degraded)$ ]]; }

# inside COMMAND..: in the machine, as its root, with an environment of its own.
inside() {
    local -
    set +x
    nsenter --target "$LEADER" --all -- env -i "${CLEAN_ENVIRONMENT[@]}" "$@"
}

# chrooted COMMAND..: in the root while nothing is booted from it.
chrooted() {
    chroot "$ROOT" env -i "${CLEAN_ENVIRONMENT[@]}" "$@"
}

CLEAN_ENVIRONMENT=(
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/rig/bin
    HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=
)

# Stops it by its own PID 1: nspawn killed from outside would leave it alive.
halt() {
    if [[ -n $LEADER ]]; then
        # Processes started from outside would be stopped by the shutdown, and delay it.
        pkill -KILL -x nsenter
        kill -s RTMIN+4 "$LEADER" 2>/dev/null
        # More than the stop timeout of any unit of the machine.
        if ! within 100 gone "$LEADER"; then kill -KILL "$LEADER"; fi
        wait "$NSPAWN" 2>/dev/null
        LEADER=''
    fi
    umount "$ROOT"
    [[ -n $KEEP ]] || rm -rf "${WORK:?}/$MACHINE"
}

gone() { [[ ! -d /proc/$1 ]]; }

# The state of a file system in lines that can be compared, without the files that the machine itself writes.
file_system() {
    # shellcheck disable=SC2016
    inside find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /rig \
        -o -path /var/log/journal -o -path /var/cache -o -path /var/lib/systemd/catalog -o -path /var/lib/systemd/timers \
        -o -path /var/lib/systemd/random-seed -o -path /var/tmp -o -path /root -o -path "$1" \) -prune \
        -o -printf '%p %y %M %u:%g %l\n' | sort
}
