#!/bin/sh
# Builds what is in the image and lays it out below a folder. It has neither unit nor manuals: packages have those.
set -eu

out=${1:?usage: root.sh DESTDIR}
cd "$(dirname -- "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
plugins=$out/usr/lib/polyport/plugins

set --
for folder in plugins/*/; do
    set -- "$@" --package "polyport-$(basename "$folder")"
done
cargo build --locked --release --package polyportd --package polyportctl "$@"

install -D -m 0755 -s -t "$out/usr/bin" "$target/release/polyportd" "$target/release/polyportctl"
for folder in plugins/*/; do
    install -D -m 0644 -s -t "$plugins" "$target/release/libpolyport_$(basename "$folder").so"
done
# After the symbols are gone: from now on every damage to a plugin is refused.
"$out/usr/bin/polyportd" seal "$plugins"/*.so

install -D -m 0644 -t "$out/etc/polyport" config/polyport.yaml
install -D -m 0644 -t "$out/usr/share/doc/polyport" LICENSE-APACHE LICENSE-MIT
cargo xtask notices "$out/usr/share/doc/polyport"
