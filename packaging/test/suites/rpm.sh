# shellcheck shell=bash
# The life of the rpm packages in a booted machine, by Debian's rpm. What a Fedora would have installed already is
# provided by a stand-in; nothing is forced.

suite_rpm() {
    machine rpm
    boot
    cp "$(rpm_file polyport)" "$ROOT/rig/polyport.rpm"
    cp "$(rpm_file polyport-devel)" "$ROOT/rig/polyport-devel.rpm"
    # As in Fedora: an installed unit is not enabled.
    echo "disable *" >"$ROOT/usr/lib/systemd/system-preset/99-rig.preset"
    must "the stand-in for the base system is made and installed" base_rpm
    file_system /etc/machine-id >"$WORK/before"
    rpm_installed
    daemon_confined
    daemon_configured
    rpm_plugins
    daemon_refuses_what_is_broken
    rpm_upgrades
    rpm_leaves
    halt
}

rpm_install() { inside rpm --install "$@"; }

rpm_installed() {
    must "it installs, and says nothing" rpm_install_quietly
    check "the preset decides: it is neither enabled nor started" rpm_left_alone
    must "enabled by hand it runs" rpm_enabled
    check "every line of the unit is understood" unit_understood
    check "systemd-analyze verify has nothing to say" unit_verified
    check "rpm -V finds every file as it was packed" is "" inside rpm --verify polyport
    check "every file is root's, with the mode that its kind has" rpm_modes
    check "every folder of its own is owned, and nothing else" rpm_folders
    check "its configuration is marked as such and never replaced" rpm_configuration
    check "it has its triggers, each on one folder" rpm_triggers
    check "it provides the ABI, and of its plugins nothing" rpm_provides
    check "a fresh installation opens nothing to the network" is "" open_to_the_network
    check "the configuration that comes with it is good" inside polyportd --check
}

rpm_install_quietly() {
    rpm_install /rig/polyport.rpm >"$WORK/said" 2>&1 || { cat "$WORK/said"; return 1; }
    # Debian's rpm warns about its use.
    is "" grep -vE '^(Creating (user|group) |rpm: )' "$WORK/said"
}

rpm_left_alone() {
    is disabled inside systemctl is-enabled "$UNIT"
    is inactive property ActiveState
}

rpm_enabled() {
    inside systemctl enable --now "$UNIT"
    is_serving
}

files_of() { inside rpm --query --queryformat "[$2\n]" "$1"; }

# Mode and owner of each file, by what it is.
rpm_modes() {
    files_of polyport '%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}' | awk '
        {wanted = "-rw-r--r--"}
        /^d/ {wanted = "drwxr-xr-x"}
        $3 ~ /^\/usr\/bin\/|\.so$/ {wanted = "-rwxr-xr-x"}
        $1 != wanted || $2 != "root:root" {print "wanted " wanted " root:root: " $0; bad = 1}
        END {exit bad || NR < 15}'
    inside sh -ec 'stat -c "%a %U:%G" /usr/bin/polyportd | grep -x "755 root:root"'
}

rpm_folders() {
    local folders
    folders=$(files_of polyport '%{FILEMODES:perms} %{FILENAMES}' | awk '/^d/ && $2 !~ "/doc/polyport/" {print $2}' |
        sort | xargs)
    same "/etc/polyport /etc/polyport/conf.d /usr/lib/polyport /usr/lib/polyport/conf.d /usr/lib/polyport/plugins \
/usr/share/doc/polyport /usr/share/licenses/polyport" "$folders"
}

rpm_configuration() {
    is /etc/polyport/polyport.yaml inside rpm --query --configfiles polyport
    has "noreplace" < <(files_of polyport '%{FILENAMES} %{FILEFLAGS:fflags}' | sed -n 's|^/etc/polyport/polyport.yaml .*n.*|noreplace|p')
}

rpm_triggers() {
    local folder triggers
    triggers=$(inside rpm --query --filetriggers polyport)
    for folder in plugins conf.d; do
        has "transfiletriggerin scriptlet (using /bin/sh) -- /usr/lib/polyport/$folder" <<<"$triggers"
        has "transfiletriggerpostun scriptlet (using /bin/sh) -- /usr/lib/polyport/$folder" <<<"$triggers"
    done
}

rpm_provides() {
    local provides
    provides=$(inside rpm --query --provides polyport)
    has "polyport(abi) = 1" <<<"$provides"
    lacks '\.so' <<<"$provides"
}

rpm_plugins() {
    check "headers and pkg-config of polyport-devel install" rpm_install /rig/polyport-devel.rpm
    check "a stranger's plugin compiles with nothing but polyport-devel, and packs" plugin_rpm hail hello 1.0 7100
    remember plugins
    check "its package installs, and it serves by the trigger alone" rpm_plugin_installed
    check "a second version of it serves, by the trigger alone" rpm_plugin_upgraded
    check "a plugin that is refused does not fail its installation, and says so" rpm_plugin_refused
    check "its removal leaves a daemon that reloads" rpm_plugin_refused_removed
    check "the example of a plugin's package is made from polyport-devel, and serves as it is installed" rpm_example
    check "nothing was restarted for all of this" unchanged plugins
}

greets_rpm() { answers tcp 7100 "a line" "$1"; }

rpm_plugin_installed() {
    rpm_install /rig/rpms/polyport-plugin-hail/polyport-plugin-hail.rpm
    greets_rpm hello
}

rpm_plugin_upgraded() {
    plugin_rpm hail "good day" 2.0 7100
    inside rpm --upgrade /rig/rpms/polyport-plugin-hail/polyport-plugin-hail.rpm
    greets_rpm "good day"
}

rpm_plugin_refused() {
    plugin_rpm bad word 1.0 7103
    inside truncate --size=-2000 /rig/build-bad/usr/lib/polyport/plugins/bad.so
    build_rpm /rig/bad.spec polyport-plugin-bad
    rpm_install /rig/rpms/polyport-plugin-bad/polyport-plugin-bad.rpm >"$WORK/said" 2>&1
    cat "$WORK/said"
    has "systemctl status polyport" <"$WORK/said"
    greets_rpm "good day"
}

rpm_plugin_refused_removed() {
    inside rpm --erase polyport-plugin-bad
    reload
}

rpm_example() {
    cp -r "$TOP/packaging/examples/plugin-package" "$ROOT/rig/example"
    inside sh -ec 'cd /rig/example; rpmbuild -bb --build-in-place --define "_topdir /rig/rpmbuild" \
        --define "_rpmdir /rig/rpms/example" --define "_build_name_fmt %%{NAME}.rpm" *.spec'
    rpm_install /rig/rpms/example/polyport-plugin-greet.rpm
    answers tcp 7117 $'you\n' "greet 1.0: hello, you"
    inside rpm --erase polyport-plugin-greet
    fails answers tcp 7117 $'you\n' "greet 1.0: hello, you"
}

rpm_upgrades() {
    check "an edited configuration file is not touched by what follows" rpm_edit
    check "an upgrade under load ends well" rpm_upgrade_under_load
    check "in it nobody was refused" counted '.total.connects.refused + .total.streams.refused' 0
    check "in it nobody was reset, broken or left without an answer" counted '.faults | length' 0
    check "a stream that was open before it still echoes after" hold_end
    check "the new executable is in use" runs_what_is_installed
    check "the service is up, enabled, and was not restarted" rpm_upgraded_in_place
    check "rpm -V knows of the edit and of nothing else" rpm_verified_edit
}

rpm_edit() { echo "# the administrator was here" >>"$ROOT/etc/polyport/polyport.yaml"; }

rpm_upgrade_under_load() {
    cp "$(rpm_file polyport "$NEXT")" "$ROOT/rig/next.rpm"
    cp "$(rpm_file polyport-devel "$NEXT")" "$ROOT/rig/next-devel.rpm"
    rm -f "$WORK"/load.*
    remember upgrade
    hold_begin 7007
    load_begin --tcp 127.0.0.1:7007 --udp 127.0.0.1:7007 --connect 4 --hold 0
    inside rpm --upgrade /rig/next.rpm /rig/next-devel.rpm
    echo ready >&9
    within 10 has_twice
    load_end
}

rpm_upgraded_in_place() {
    upgraded_in_place
    is enabled inside systemctl is-enabled "$UNIT"
    has "the administrator was here" < <(inside tail -n 1 /etc/polyport/polyport.yaml)
}

rpm_verified_edit() {
    same "c /etc/polyport/polyport.yaml" "$(inside rpm --verify polyport | awk '{print $2, $3}')"
}

rpm_leaves() {
    check "the plugin's package goes; its service with it, and nothing was restarted" rpm_plugin_erased
    check "a reload is good then" reload
    check "and so is a restart" plugin_removed_restart
    check "erased, it is stopped and gone" rpm_erased
    check "what is left is the user, the state and the administrator's own files" rpm_nothing_left
    check "nothing of it runs, and no unit failed" nothing_runs
}

rpm_plugin_erased() {
    remember plugins
    greets_rpm "good day"
    inside rpm --erase polyport-plugin-hail
    fails greets_rpm "good day"
    unchanged plugins
}

rpm_erased() {
    inside rpm --erase polyport-devel polyport
    fails inside pgrep polyportd
    fails inside test -e /run/polyport
    same not-found "$(property LoadState)"
}

rpm_nothing_left() {
    inside rm -rf /etc/polyport/conf.d
    same polyport.yaml.rpmsave "$(inside ls /etc/polyport)"
    inside rm -r /etc/polyport
    file_system /etc/machine-id >"$WORK/after"
    diff "$WORK/before" "$WORK/after" | grep '^[<>]' |
        grep -vE '^. /(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock|var/log/.*\.log|var/lib/rpm/.*|(var/lib|var/log)/polyport) ' \
            >"$WORK/left" || true
    same "" "$(cat "$WORK/left")"
}
