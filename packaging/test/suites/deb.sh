# shellcheck shell=bash
# The whole life of the Debian packages in one booted machine. Each check depends on those before it.

suite_deb() {
    machine deb
    boot
    cp "$(deb polyport)" "$ROOT/rig/polyport.deb"
    cp "$(deb polyport-dev)" "$ROOT/rig/polyport-dev.deb"
    file_system /etc/machine-id >"$WORK/before"
    deb_installed
    daemon_confined
    daemon_configured
    deb_plugins
    daemon_refuses_what_is_broken
    daemon_survives
    deb_upgrades
    deb_keeps_what_is_the_administrators
    deb_plugin_leaves
    deb_fails_clearly
    deb_leaves
    halt
}

dpkg_install() { inside dpkg --install "$@"; }

# As unattended upgrades do: where dpkg would ask, it keeps the old file.
dpkg_keep() { inside dpkg --force-confdef --force-confold --install "$@"; }

deb_installed() {
    log_mark
    must "it installs without a question and without a word of complaint" install_quietly
    check "it is enabled" is enabled inside systemctl is-enabled "$UNIT"
    must "it runs" is_serving
    check "every line of the unit is understood" unit_understood
    check "systemd-analyze verify has nothing to say" unit_verified
    check "dpkg finds every file as it was packed" is "" inside dpkg --verify polyport
    check "every file has its md5sum, and is root's" deb_files
    check "a fresh installation opens nothing to the network" is "" open_to_the_network
    check "man pages and completions are there" deb_documents
    check "the configuration that comes with it is good" inside polyportd --check
    check "polyportctl reaches the daemon" inside polyportctl status
    check "the socket of polyportctl is for the daemon's user and group" \
        is "660 _polyport:_polyport" inside stat -c '%a %U:%G' /run/polyport/admin.sock
}

install_quietly() {
    dpkg_install /rig/polyport.deb 2>"$WORK/complaints" || { cat "$WORK/complaints"; return 1; }
    # systemd's helpers print that the user is made and the unit enabled.
    is "" grep -vE '^(Created symlink|Creating (user|group)) ' "$WORK/complaints"
}

deb_files() {
    local owners
    owners=$(dpkg-deb --contents "$ROOT/rig/polyport.deb" | awk '{print $2}' | sort -u)
    same root/root "$owners"
    dpkg-deb --fsys-tarfile "$ROOT/rig/polyport.deb" | tar -t --verbose | awk '/^-/ {print $6}' |
        sed 's|^\./||' | grep -v '^etc/' | sort >"$WORK/files"
    inside sed 's/^[^ ]*  //' /var/lib/dpkg/info/polyport.md5sums | sort >"$WORK/summed"
    diff "$WORK/files" "$WORK/summed"
    inside sh -ec 'test "$(stat -c %a:%U /usr/bin/polyportd /usr/bin/polyportctl | sort -u)" = 755:root
        test "$(stat -c %a:%U /usr/lib/polyport/plugins/*.so /etc/polyport/polyport.yaml | sort -u)" = 644:root
        test "$(stat -c %a:%U /etc/polyport/conf.d /usr/lib/polyport/conf.d | sort -u)" = 755:root'
    has /etc/polyport/polyport.yaml < <(inside cat /var/lib/dpkg/info/polyport.conffiles)
}

deb_documents() {
    inside sh -ec 'cd /usr/share
        test -s man/man8/polyportd.8.gz -a -s man/man5/polyport.yaml.5.gz -a -s man/man1/polyportctl.1.gz
        test -s bash-completion/completions/polyportctl -a -s zsh/vendor-completions/_polyportctl
        test -s fish/vendor_completions.d/polyportctl.fish -a -s doc/polyport/copyright'
}

deb_plugins() {
    check "headers and pkg-config of polyport-dev install" dpkg_install /rig/polyport-dev.deb
    check "a stranger's plugin compiles with nothing but polyport-dev, and packs" plugin_deb hail hello 1.0 7100
    remember plugins
    check "its package installs" dpkg_install /rig/polyport-plugin-hail.deb
    check "it serves, by the trigger alone" greets 7100 hello
    check "nothing was restarted for it" unchanged plugins
    check "a second version of it installs" plugin_second_version
    check "that serves, by the trigger alone" greets 7100 "good day"
    check "the administrator's file of the same name takes the place of the package's" plugin_overridden
    check "a plugin in /usr/local, a folder that was not there at the start, serves after a reload" plugin_local
    check "the example of a plugin's package is made from polyport-dev, and serves as it is installed" deb_example
    check "nothing was restarted for all of this" unchanged plugins
    check "a plugin that is refused does not fail its installation, and says so" plugin_refused
    check "what served before it serves" greets 7100 "good day"
    check "its removal leaves a daemon that reloads" plugin_refused_removed
    check "and nothing was restarted" unchanged plugins
}

# The trigger runs at the end of dpkg's work, not in the background; it needs no wait.
greets() { answers tcp "$1" "a line" "$2"; }

plugin_second_version() {
    plugin_deb hail "good day" 2.0 7100
    dpkg_install /rig/polyport-plugin-hail.deb
}

plugin_overridden() {
    plugin_service hail 7101 /etc/polyport/conf.d
    reload
    greets 7101 "good day"
    fails greets 7100 "good day"
    inside rm /etc/polyport/conf.d/hail.yaml
    reload
    greets 7100 "good day"
}

plugin_local() {
    fails inside test -e /usr/local/lib/polyport
    compile_plugin wave bye /usr/local/lib/polyport/plugins/wave.so
    plugin_service wave 7102 /etc/polyport/conf.d
    reload
    greets 7102 bye
    inside rm -r /usr/local/lib/polyport /etc/polyport/conf.d/wave.yaml
    reload
    fails greets 7102 bye
}

# The example that authors copy.
deb_example() {
    cp -r "$TOP/packaging/examples/plugin-package" "$ROOT/rig/example"
    inside sh -ec 'cd /rig/example; dpkg-buildpackage --build=binary --unsigned-changes --no-pre-clean'
    inside sh -ec 'dpkg --install /rig/polyport-plugin-greet_*.deb'
    answers tcp 7117 $'you\n' "greet 1.0: hello, you"
    inside dpkg --remove polyport-plugin-greet
    fails answers tcp 7117 $'you\n' "greet 1.0: hello, you"
}

plugin_refused() {
    plugin_deb bad word 1.0 7103
    inside truncate --size=-2000 /rig/build-bad/usr/lib/polyport/plugins/bad.so
    inside dpkg-deb --build --root-owner-group -Znone /rig/build-bad /rig/polyport-plugin-bad.deb
    dpkg_install /rig/polyport-plugin-bad.deb >"$WORK/said" 2>&1
    cat "$WORK/said"
    has "systemctl status polyport" <"$WORK/said"
    has bad.so < <(inside systemctl status --no-pager --lines=0 "$UNIT")
}

plugin_refused_removed() {
    inside dpkg --remove polyport-plugin-bad
    reload
}

deb_upgrades() {
    check "a next version is made" next_deb next
    check "an upgrade under load ends well" upgrade_under_load next
    check "in it nobody was refused" counted '.total.connects.refused + .total.streams.refused' 0
    check "in it nobody was reset, broken or left without an answer" counted '.faults | length' 0
    check "a stream that was open before it still echoes after" hold_end
    check "the new executable is in use" runs_what_is_installed
    check "the service is up, and was not restarted" upgraded_in_place
    check "an upgrade while the configuration is broken ends well" upgrade_while_broken
    check "the old one serves on" echoes tcp 7007
    check "once the configuration is mended, a reload brings the new one" upgrade_after_mending
}

upgrade_under_load() {
    rm -f "$WORK"/load.*
    remember upgrade
    hold_begin 7007
    load_begin --tcp 127.0.0.1:7007 --udp 127.0.0.1:7007 --connect 4 --hold 0
    dpkg_install "/rig/$1.deb"
    echo ready >&9
    within 10 has_twice
    load_end
}

upgrade_while_broken() {
    remember upgrade
    next_deb broken
    broken_file
    dpkg_install /rig/broken.deb >"$WORK/said" 2>&1
    cat "$WORK/said"
    has "systemctl status polyport" <"$WORK/said"
    unchanged upgrade
}

upgrade_after_mending() {
    inside rm /etc/polyport/conf.d/zz-broken.yaml
    reload
    runs_what_is_installed
    echoes tcp 7007
}

deb_keeps_what_is_the_administrators() {
    check "an edited configuration file is kept over an upgrade" conffile_kept
    check "where the package has a new one too, the edit is kept and the new one laid beside it" conffile_both
    check "a service that was disabled and stopped stays so over an upgrade" stays_disabled
}

conffile_kept() {
    echo "# the administrator was here" >>"$ROOT/etc/polyport/polyport.yaml"
    next_deb edit
    dpkg_install /rig/edit.deb
    has "the administrator was here" < <(inside tail -n 1 /etc/polyport/polyport.yaml)
}

new_configuration() {
    other_binary "$1"
    echo "# news of the package" >>"$1/etc/polyport/polyport.yaml"
}

conffile_both() {
    next_deb conffile new_configuration
    dpkg_keep /rig/conffile.deb
    has "the administrator was here" < <(inside tail -n 1 /etc/polyport/polyport.yaml)
    has "news of the package" < <(inside tail -n 1 /etc/polyport/polyport.yaml.dpkg-dist)
    inside rm /etc/polyport/polyport.yaml.dpkg-dist
    echoes tcp 7007
}

stays_disabled() {
    inside systemctl disable --now "$UNIT"
    next_deb disabled
    dpkg_keep /rig/disabled.deb
    same inactive "$(property ActiveState)"
    same disabled "$(inside systemctl is-enabled "$UNIT" || true)"
    inside systemctl enable --now "$UNIT"
    echoes tcp 7007
}

deb_fails_clearly() {
    check "removed, it is gone: stopped, its unit neither there nor masked" deb_removed
    check "removed, state and configuration stay" deb_state_stays
    check "installed again over a configuration that is broken, it says where to look" deb_again_broken
    check "mended, it serves as before" deb_again_mended
    check "installed for the first time over a broken configuration, dpkg fails and says where to look" deb_fails
    check "mended, dpkg ends its work and it serves" deb_mended
}

deb_removed() {
    inside touch /var/lib/polyport/state
    log_mark
    inside dpkg --remove polyport
    fails inside pgrep polyportd
    same not-found "$(inside systemctl is-enabled "$UNIT" 2>/dev/null || property LoadState)"
    fails inside test -e /run/polyport
    fails inside test -e "/etc/systemd/system/$UNIT"
}

deb_state_stays() {
    inside test -e /var/lib/polyport/state -a -e /etc/polyport/conf.d/echo.yaml -a -e /etc/polyport/polyport.yaml
}

broken_file() { echo "services: {other: {listen: nonsense}}" >"$ROOT/etc/polyport/conf.d/zz-broken.yaml"; }

deb_again_broken() {
    broken_file
    dpkg_keep /rig/polyport.deb >"$WORK/said" 2>&1
    cat "$WORK/said"
    has "systemctl status polyport" <"$WORK/said"
    has zz-broken.yaml < <(inside systemctl status --no-pager "$UNIT" || true)
}

deb_again_mended() {
    inside rm /etc/polyport/conf.d/zz-broken.yaml
    inside systemctl restart "$UNIT"
    echoes tcp 7007
}

deb_fails() {
    inside dpkg --purge polyport
    broken_file
    fails dpkg_install /rig/polyport.deb >"$WORK/said" 2>&1
    cat "$WORK/said"
    has "systemctl status polyport" <"$WORK/said"
    has zz-broken.yaml < <(inside systemctl status --no-pager "$UNIT" || true)
}

deb_mended() {
    inside rm /etc/polyport/conf.d/zz-broken.yaml
    inside dpkg --configure --pending
    is_serving
    echoes tcp 7007
}

deb_plugin_leaves() {
    check "the plugin's package goes, not purged; a reload is good" plugin_removed_reload
    check "and so is a restart" plugin_removed_restart
}

deb_leaves() {
    check "purge ends well" inside dpkg --purge polyport-plugin-hail polyport-plugin-bad polyport-dev polyport
    check "what the administrator added is left, and nothing else" deb_nothing_left
    check "nothing of it runs, and no unit failed" nothing_runs
}

plugin_removed_reload() {
    greets 7100 "good day"
    inside dpkg --remove polyport-plugin-hail
    fails greets 7100 "good day"
    reload
}

# The user stays, as usual in Debian: it could still own files.
deb_nothing_left() {
    inside rm -rf /etc/polyport/conf.d
    inside rmdir /etc/polyport || inside ls -lR /etc/polyport
    file_system /etc/machine-id >"$WORK/after"
    diff "$WORK/before" "$WORK/after" | grep '^[<>]' |
        grep -vE '^. /(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock|var/lib/dpkg/.*|var/log/.*\.log) ' \
            >"$WORK/left" || true
    same "" "$(cat "$WORK/left")"
}

