# shellcheck shell=bash
# A cgroup of its own for each machine: two in one would share what nspawn makes in it.

# Mount points of the hierarchies that systemd uses: v2, and on old hosts v1 by the name of systemd.
hierarchies() {
    awk '{
        for (i = 7; i <= NF; i++) if ($i == "-") break
        if ($(i + 1) == "cgroup2" || ($(i + 1) == "cgroup" && $(i + 3) ~ /name=systemd/)) print $5
    }' /proc/self/mountinfo
}

# enter_cgroup NAME: puts this process into a new one.
enter_cgroup() {
    local hierarchy
    for hierarchy in $(hierarchies); do
        mkdir "$hierarchy/$1" && echo 0 >"$hierarchy/$1/cgroup.procs" || return 1
    done
}

# remove_cgroup NAME: with all that was made under it, as soon as the last of its processes has gone.
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
