# shellcheck shell=bash
# A root without systemd, as in containers: nothing is booted or started, and all files are there.

suite_bare() {
    machine bare
    cp "$(deb polyport)" "$ROOT/rig/polyport.deb"
    mount -t proc proc "$ROOT/proc"
    must "a root without systemd is made" bare_root
    check "it installs there" chrooted dpkg --install /rig/polyport.deb
    check "its user is there" chrooted id _polyport
    check "the daemon serves in the foreground, as that user" bare_serves
    check "it purges there" chrooted dpkg --purge polyport
    umount "$ROOT/proc"
    halt
}

bare_root() {
    chrooted dpkg --purge --force-remove-protected systemd-sysv systemd
    chrooted sh -c 'dpkg --install /rig/debs/systemd-standalone-sysusers_*.deb'
    fails chrooted sh -c 'command -v systemctl'
}

bare_serves() {
    local daemon
    printf 'services: {echo: {listen: unix:///tmp/echo.sock, handler: echo}}\n' >"$ROOT/etc/polyport/conf.d/echo.yaml"
    chroot "$ROOT" setpriv --reuid=_polyport --regid=_polyport --clear-groups -- \
        env -i "${CLEAN_ENVIRONMENT[@]}" polyportd --config /etc/polyport/polyport.yaml &
    daemon=$!
    within 10 test -S "$ROOT/tmp/echo.sock"
    is "a line" chrooted ask unix /tmp/echo.sock "a line"
    kill "$daemon"
    wait "$daemon"
    rm "$ROOT/etc/polyport/conf.d/echo.yaml"
}
