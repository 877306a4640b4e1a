# shellcheck shell=bash
# The packages under test, and packages made from them: the next version, foreign plugins, a bare one.

# package PATTERN [FOLDER]: the one file of that name.
package() {
    local -
    set +x
    # shellcheck disable=SC2206
    local found=("${2:-$PACKAGES}"/$1)
    [[ ${#found[@]} -eq 1 && -f ${found[0]} ]] || { echo "not one file $1 in ${2:-$PACKAGES}: ${found[*]}"; return 1; }
    echo "${found[0]}"
}

deb() { package "$1_[0-9]*.deb"; }

# change_deb DEB VERSION OUTPUT COMMAND..: takes a package apart, has COMMAND change it with the place as its last
# argument, gives it the version, and puts it together again.
change_deb() {
    local from=$1 version=$2 to=$3 tree
    shift 3
    tree=$(mktemp -d "$WORK/deb.XXXXXX")
    dpkg-deb --raw-extract "$from" "$tree"
    "$@" "$tree"
    sed -i "s/^Version: .*/Version: $version/" "$tree/DEBIAN/control"
    (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | grep -v '^etc/' | sort |
        xargs md5sum >DEBIAN/md5sums)
    dpkg-deb --build -Znone "$tree" "$to" >/dev/null
    rm -rf "$tree"
}

# Another executable that does the same: bytes after the end of an ELF file are ignored.
other_binary() { printf 'another build' >>"$1/usr/bin/polyportd"; }

same_binary() { :; }

# next_deb NAME [COMMAND..]: /rig/NAME.deb in the machine, of a version later than all before.
next_deb() {
    local name=$1 from version
    shift
    from=$(deb polyport)
    versions=$(($(cat "$WORK/versions" 2>/dev/null || echo 0) + 1))
    echo "$versions" >"$WORK/versions"
    version=$(dpkg-deb --field "$from" Version)+rig$versions
    change_deb "$from" "$version" "$ROOT/rig/$name.deb" "${@:-other_binary}"
}

# A foreign plugin: its protocol is to greet with a word. It is compiled in the machine, with polyport-dev.
# compile_plugin NAME WORD TARGET
compile_plugin() {
    sed -e "s/@NAME@/$1/g" -e "s/@WORD@/$2/g" "$HERE/plugin.c.in" >"$ROOT/rig/$1.c"
    # shellcheck disable=SC2016
    inside sh -ec 'mkdir -p "$(dirname "$2")"; cc $(pkg-config --cflags polyport-plugin) -shared -fPIC -o "$2" "$1"' \
        sh "/rig/$1.c" "$3"
}

# plugin_deb NAME WORD VERSION PORT: /rig/polyport-plugin-NAME.deb, with its service at the port.
plugin_deb() {
    local tree=/rig/build-$1 control
    inside rm -rf "$tree"
    compile_plugin "$1" "$2" "$tree/usr/lib/polyport/plugins/$1.so"
    plugin_service "$1" "$4" "$tree/usr/lib/polyport/conf.d"
    control="Package: polyport-plugin-$1
Version: $3
Architecture: $(dpkg-deb --field "$(deb polyport)" Architecture)
Maintainer: A Stranger <stranger@example.org>
Depends: polyport-abi-1
Description: greets with a word"
    inside mkdir -p "$tree/DEBIAN"
    echo "$control" >"$ROOT$tree/DEBIAN/control"
    inside dpkg-deb --build --root-owner-group -Znone "$tree" "/rig/polyport-plugin-$1.deb"
}

# plugin_service NAME PORT FOLDER: a service of that plugin, in a file of the folder.
plugin_service() {
    inside mkdir -p "$3"
    printf 'services:\n  %s:\n    listen: ["tcp://127.0.0.1:%s"]\n    handler: %s\n' "$1" "$2" "$1" >"$ROOT$3/$1.yaml"
}
