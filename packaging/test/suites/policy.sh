# shellcheck shell=bash
# A machine whose administrator wants nothing started by installations (policy-rc.d), as images and chroots have it.

suite_policy() {
    machine policy
    boot
    cp "$(deb polyport)" "$ROOT/rig/polyport.deb"
    check "where policy-rc.d forbids it, it installs and is not started" installs_without_start
    check "by hand it starts" inside systemctl start "$UNIT"
    check "a change of plugins leaves it alone" policy_trigger
    check "its purge is good there, too" inside dpkg --purge polyport
    halt
}

installs_without_start() {
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod 755 "$ROOT/usr/sbin/policy-rc.d"
    inside dpkg --install /rig/polyport.deb
    is inactive property ActiveState
    is enabled inside systemctl is-enabled "$UNIT"
}

policy_trigger() {
    remember policy
    inside dpkg-trigger --by-package=polyport /usr/lib/polyport/plugins
    inside dpkg --configure --pending
    unchanged policy
}
