#!/bin/sh
# Sends one chunk, one datagram and one reload through a dev build of the daemon under gdb, and compares the functions that
# are entered with the lists of ARCHITECTURE.md, and their files with beside.txt and lib.rs of the data side.
# Needs gdb, nc and a built tree (`cargo build`). With `--print` the walks are printed instead.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/debug
work=$(mktemp -d)
daemon= gdb=
# The debugger ends first: a process that is being debugged does not act on a signal.
clean() { for one in $gdb $daemon; do kill -KILL "$one" 2>/dev/null || true; done; rm -rf "$work"; }
trap clean EXIT INT TERM

config() {
    cat >"$work/polyport.yaml" <<YAML
plugins:
  echo: {library: $work/libpolyport_echo.so}
daemon: {workers: 1, drain-timeout: 5s}
log: {format: text, level: info}
admin: {socket: $work/admin.sock}
services:
  walk:
    listen: ["tcp://127.0.0.1:$port", "udp://127.0.0.1:$port"]
    handler: echo
    timeouts: {idle: $1}
YAML
}

wait_for() { # COMMAND: repeats it until it succeeds, for 20 s at most
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "waited too long for: $*" >&2; cat "$work/log" "$work"/*.out >&2 || true; exit 1; }
        sleep 0.1
    done
}

# The source files below these folders, without tests: gdb logs each function that is entered there.
files() { (cd "$root" && find "$@" -name '*.rs' ! -name 'tests.rs' ! -path '*/tests/*' | sort | tr '\n' ' '); }

# attach FILES LOG THREADS
attach() {
    WALK_ROOT=$root WALK_FILES=$1 WALK_LOG=$2 WALK_THREADS=$3 gdb -q -nx -p "$daemon" -x "$root/docs/walks/walk.gdb" >"$work/gdb.out" 2>&1 </dev/null &
    gdb=$!
    wait_for grep -q ready "$2"
    sleep 1
}

# The breakpoints stay in the daemon, so it ends with its debugger; each walk has a daemon of its own.
end() { kill -KILL "$gdb" "$daemon" 2>/dev/null || true; wait "$gdb" "$daemon" 2>/dev/null || true; gdb= daemon=; }

# The walk that ARCHITECTURE.md lists under this name.
listed() { sed -n "/^<!-- walk $1 -->/,/^<!-- end -->/p" "$root/ARCHITECTURE.md" | grep '^daemon/' || true; }

# The files that lib.rs of the data side lists under this heading.
outlined() { sed -n "\\|^//! $1:|,\\|^//! \`\`\`$|p" "$root/daemon/data/src/lib.rs" | sed -n 's|^//! \([a-z_]*/[a-z_]*\.rs\) .*|daemon/data/src/\1|p'; }

fail() { echo "$*" >&2; failed=1; }

# compare NAME LOG HEADING FILES_MAX CROSSINGS_MAX: the listed steps come in their order, and from the first to the last of
# them a function is entered in no other files than the listed ones and those of beside.txt.
compare() {
    log=$work/$1.steps
    sed -n 's/^[^ ]* *\(daemon[^ ]*\)$/\1/p' "$2" >"$log"
    if [ "${print:-}" ]; then echo "== $1"; uniq "$log"; return; fi
    listed "$1" >"$work/listed"
    cut -d: -f1 "$work/listed" | sort -u >"$work/listed.files"
    sed -n "s/^$1 //p" "$root/docs/walks/beside.txt" | sort -u >"$work/beside"
    # The steps from the first listed one to the last; after these the listed steps that were not found.
    awk 'BEGIN {at = n = 0} NR == FNR {want[n++] = $0; next} at < n {
        if (want[at] == $0) at++
        while (at && at < n && want[at] == $0) at++
        if (at) print
    } END {if (!n) print "missing: the list"; if (at < n) print "missing: " want[at]}' "$work/listed" "$log" >"$work/way"
    missing=$(sed -n 's/^missing: //p' "$work/way")
    [ -z "$missing" ] || { fail "$1: not on the way, or not in this order: $missing"; return; }
    cut -d: -f1 "$work/way" >"$work/entered"
    sort -u "$work/entered" >"$work/entered.files"
    in_files=$(wc -l <"$work/listed.files")
    crossings=$(($(cut -d: -f1 "$work/listed" | uniq | wc -l) - 1))
    echo "$1: $in_files files and $crossings crossings listed (at most $4 and $5);" \
        "$(wc -l <"$work/entered.files") files and $(($(uniq "$work/entered" | wc -l) - 1)) crossings entered"
    [ "$in_files" -le "$4" ] && [ "$crossings" -le "$5" ] || fail "$1: too long"
    for file in $(sort -u "$work/listed.files" "$work/beside" | comm -13 - "$work/entered.files"); do fail "$1: also on the way: $file"; done
    for file in $(comm -13 "$work/entered.files" "$work/beside"); do fail "$1: not on the way any more: $file"; done
    outlined "$3" >"$work/outlined"
    [ -s "$work/outlined" ] || fail "$1: lib.rs has no walk of: $3"
    for file in $(sort -u "$work/outlined" | comm -13 "$work/entered.files" -); do fail "$1: lib.rs names $file, which is not on the way"; done
}

[ "${1:-}" != --print ] || print=yes
failed=
port=${WALK_PORT:-47007}
cp "$target/libpolyport_echo.so" "$work/"
start() {
    config 60s
    "$target/polyportd" --config "$work/polyport.yaml" 2>"$work/log" &
    daemon=$!
    wait_for grep -q ready "$work/log"
}

data=$(files daemon/data/src daemon/host/src)
start
# The connection is open before gdb attaches, so that its accept is no part of the walk.
mkfifo "$work/in"
nc 127.0.0.1 "$port" <"$work/in" >"$work/out" &
exec 3>"$work/in"
echo first >&3
wait_for grep -q first "$work/out"
attach "$data" "$work/chunk" worker
echo chunk >&3
wait_for grep -q chunk "$work/out"
end
compare chunk "$work/chunk" "One chunk of a TCP stream" 10 14

start
attach "$data" "$work/datagram" worker
echo datagram | nc -u -w 5 127.0.0.1 "$port" >"$work/out" &
wait_for grep -q datagram "$work/out"
end
compare datagram "$work/datagram" "One datagram" 9 99

exec 3>&-

start
attach "$(files daemon/data/src daemon/src/control)" "$work/reload" "polyportd|worker|signals|tokio|blocking"
config 61s
kill -HUP "$daemon"
wait_for grep -q applied "$work/log"
sleep 5
end
compare reload "$work/reload" "One snapshot" 16 99
exit ${failed:+1}
