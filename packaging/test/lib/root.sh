# shellcheck shell=bash
# The root of every machine: a Debian, made once and kept in the cache.

SUITE_OF_DEBIAN=bookworm
# Its mirror; mmdebstrap knows that of Debian.
MIRROR=(${POLYPORT_RIG_MIRROR:+"$POLYPORT_RIG_MIRROR"})
# A service manager, clients, tools of plugin authors, and rpm for the other half.
IN_ROOT=systemd,systemd-sysv,netcat-openbsd,curl,procps,build-essential,pkgconf,debhelper,rpm

# Sets BASE; makes it if it is missing.
prepare_root() {
    local key fresh
    key=$(printf '%s' "$SUITE_OF_DEBIAN $IN_ROOT 2" | sha256sum | cut -c1-8)
    BASE=$CACHE/$SUITE_OF_DEBIAN-$key
    [[ -d $BASE ]] && return 0
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$CACHE/fresh.XXXXXX")
    say "# making the root once, which takes a minute or two"
    # The package lists are kept until the one package that is needed as a file has been fetched.
    if ! mmdebstrap --quiet --variant=minbase --include="$IN_ROOT" \
        --aptopt='Acquire::Check-Valid-Until "false"' --skip=cleanup/apt/lists \
        --customize-hook='mkdir -p "$1/rig/debs"' \
        --customize-hook='chroot "$1" sh -ec "cd /rig/debs; apt-get download -q systemd-standalone-sysusers; rm -rf /var/lib/apt/lists/*"' \
        "$SUITE_OF_DEBIAN" "$fresh/root" "${MIRROR[@]}" >"$fresh/log" 2>&1
    then
        tail -n 20 "$fresh/log" | sed 's/^/# /' >&3
        rm -rf "$fresh"
        give_up "the root cannot be made from ${MIRROR[*]:-the mirror of Debian}; another one: POLYPORT_RIG_MIRROR"
    fi
    # Its contents are not those wanted now.
    rm -rf "${CACHE:?}/$SUITE_OF_DEBIAN"-*
    mv "$fresh/root" "$BASE"
    rm -rf "$fresh"
}
