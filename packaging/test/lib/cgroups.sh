# shellcheck shell=bash
# Each machine has a cgroup: two in one would share nspawn's groups in it.

# Mount points of the hierarchies that systemd uses: v2, and on old hosts v1 by the name of systemd.
hierarchies() {
    awk '{
        for (i = 7; i <= NF; i++) if ($i == "-") break
        if ($(i + 1) == "cgroup2" || ($(i + 1) == "cgroup" && $(i + 3) ~ /name=systemd/)) print $5
    }' /proc/self/mountinfo
}

# enter_cgroup NAME: moves this process into a new cgroup.
enter_cgroup() {
    local hierarchy
    for hierarchy in $(hierarchies); do
        mkdir "$hierarchy/$1" && echo 0 >"$hierarchy/$1/cgroup.procs" || return 1
    done
}

# remove_cgroup NAME: removes it and all below it, as soon as its last process has ended.
remove_cgroup() {
    local hierarchy tries
    for hierarchy in $(hierarchies); do
        for ((tries = 0; tries < 100; tries++)); do
            [[ -d $hierarchy/$1 ]] || break
            find "$hierarchy/$1" -depth -type d -exec rmdir {} \; 2>/dev/null
            sleep 0.05
        done
    done
}
