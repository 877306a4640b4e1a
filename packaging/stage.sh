#!/bin/sh
# Copies the files of one package, listed in files.list, into a folder; or prints them for rpm's %files.
#
#   stage.sh deb|rpm polyport|dev DESTDIR
#   stage.sh rpm polyport|dev --list
#
# From the environment: POLYPORT_BUILT, where the programs and plugins were built; POLYPORT_MADE, where `cargo xtask
# dist` wrote what it makes; POLYPORT_UNITDIR, where units belong if not in /usr/lib/systemd/system.
set -eu

kind=$1 package=$2 destination=$3
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/Cargo.toml" | head -n 1)
abi=$(sed -n 's/^#define PP_ABI_MAJOR \([0-9]*\)u*$/\1/p' "$source/plugin-api/include/polyport/version.h")
unitdir=${POLYPORT_UNITDIR:-/usr/lib/systemd/system}

case $kind in
    deb) zshdir=/usr/share/zsh/vendor-completions dev=polyport-dev so=0644 ;;
    rpm) zshdir=/usr/share/zsh/site-functions dev=polyport-devel so=0755 ;;
    *) echo "stage.sh: $kind is neither deb nor rpm" >&2; exit 2 ;;
esac
case $package in
    polyport) name=polyport ;;
    dev) name=$dev ;;
    *) echo "stage.sh: there is no package $package" >&2; exit 2 ;;
esac

# Lines of MODE PATH SOURCE, each a file or a folder.
entries() {
    while read -r owner for mode path from; do
        case $owner in '' | '#'*) continue ;; esac
        [ "$owner" = "$package" ] || continue
        [ "$for" = both ] || [ "$for" = "$kind" ] || continue
        path=$(echo "$path" | sed -e "s|@NAME@|$name|" -e "s|@UNITDIR@|$unitdir|" -e "s|@ZSHDIR@|$zshdir|")
        case $mode in
            tree) tree "$path" "$from" ;;
            so) echo "$so $path $from" ;;
            *) echo "$mode $path $from" ;;
        esac
    done <"$source/packaging/files.list"
}

tree() { # PATH SOURCE
    [ -d "$source/$2" ] || { echo "stage.sh: $2 is no folder" >&2; return 1; }
    (cd "$source/$2" && find . | LC_ALL=C sort) | while read -r each; do
        path=$1${each#.} from=$2${each#.}
        if [ -d "$source/$from" ]; then
            echo "dir $path -"
        elif [ -x "$source/$from" ]; then
            echo "0755 $path $from"
        else
            echo "0644 $path $from"
        fi
    done
}

install_one() { # MODE PATH SOURCE
    case $3 in
        built/*) from=${POLYPORT_BUILT:?is not set}/${3#built/} ;;
        made/*) from=${POLYPORT_MADE:?is not set}/${3#made/} ;;
        *) from=$source/$3 ;;
    esac
    if [ "$1" = dir ]; then
        install -d -m 0755 "$destination$2"
        return
    fi
    install -D -m "$1" "$from" "$destination$2"
    case $kind$2 in
        # Debian's tools do it by themselves, and not every distribution's rpmbuild does.
        rpm/usr/share/man/*) gzip -9n "$destination$2" ;;
    esac
    case $3 in
        *.in) sed -i -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" -e "s|@NAME@|$name|g" "$destination$2" ;;
    esac
}

list_one() { # MODE PATH
    flag= ending=
    case $2 in
        /etc/*) flag='%config(noreplace) ' ;;
        /usr/share/licenses/*) flag='%license ' ;;
        /usr/share/doc/*) flag='%doc ' ;;
        # A distribution may compress them in another way.
        /usr/share/man/*) ending='*' ;;
    esac
    if [ "$1" = dir ]; then
        echo "%dir %attr(0755,root,root) $2"
    else
        echo "$flag%attr($1,root,root) $2$ending"
    fi
}

list=$(entries)
echo "$list" | while read -r mode path from; do
    if [ "$destination" = --list ]; then
        list_one "$mode" "$path"
    else
        install_one "$mode" "$path" "$from"
    fi
done
