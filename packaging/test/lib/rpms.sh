# shellcheck shell=bash
# Packages for rpm made in the machine: the stand-in for the base system, and a foreign plugin.

# rpm_file NAME [FOLDER]
rpm_file() { package "$1-[0-9]*.rpm" "${2:-$PACKAGES}"; }

# build_rpm SPEC: in the machine; the package is then the only one in /rig/rpms/NAME.
build_rpm() {
    inside rm -rf "/rig/rpms/$2"
    inside rpmbuild -bb --quiet --define "_rpmdir /rig/rpms/$2" --define "_topdir /rig/rpmbuild" \
        --define '_build_name_fmt %%{NAME}.rpm' --define 'debug_package %{nil}' "$1"
}

# base_rpm: provides what every rpm requires, as the installed libraries have it.
base_rpm() {
    # shellcheck disable=SC2016
    inside sh -ec 'for each in ld-linux-*.so.2 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 libgcc_s.so.1; do
            find /lib /usr/lib -name "$each"; done | sort -u | /usr/lib/rpm/elfdeps --provides' |
        sort -u | sed 's/^/Provides: /' >"$WORK/provides"
    sed -e "/@PROVIDES@/{r $WORK/provides" -e 'd}' "$HERE/base.spec.in" >"$ROOT/rig/base.spec"
    build_rpm /rig/base.spec rig-base
    inside rpm --install /rig/rpms/rig-base/rig-base.rpm
}

# plugin_rpm NAME WORD VERSION PORT: as plugin_deb.
plugin_rpm() {
    local tree=/rig/build-$1
    inside rm -rf "$tree"
    compile_plugin "$1" "$2" "$tree/usr/lib/polyport/plugins/$1.so"
    plugin_service "$1" "$4" "$tree/usr/lib/polyport/conf.d"
    sed -e "s/@NAME@/$1/g" -e "s/@VERSION@/$3/g" "$HERE/plugin.spec.in" >"$ROOT/rig/$1.spec"
    build_rpm "/rig/$1.spec" "polyport-plugin-$1"
}
