#!/bin/sh
# Walks one chunk, one datagram and one reload through a dev build of the daemon under gdb, and compares the files and
# functions with the lists of ARCHITECTURE.md. Needs gdb, nc and a built tree (`cargo build`).
# With `--print` the walks are printed instead.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/debug
work=$(mktemp -d)
daemon= gdb=
# The debugger goes first: what it holds does not get a signal.
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

wait_for() { # a command that succeeds in the end
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "waited too long for: $*" >&2; cat "$work/log" "$work"/*.out >&2 || true; exit 1; }
        sleep 0.1
    done
}

# Files in which gdb logs each step.
files() { (cd "$root" && find "$@" -name '*.rs' ! -name 'tests.rs' ! -path '*/tests/*' | sort | tr '\n' ' '); }

# attach FILES LOG THREADS
attach() {
    WALK_ROOT=$root WALK_FILES=$1 WALK_LOG=$2 WALK_THREADS=$3 gdb -q -nx -p "$daemon" -x "$root/docs/walks/walk.gdb" >"$work/gdb.out" 2>&1 </dev/null &
    gdb=$!
    wait_for grep -q ready "$2"
    sleep 1
}

# The breakpoints stay in the daemon, so it ends with its debugger; each walk has one of its own.
end() { kill -KILL "$gdb" "$daemon" 2>/dev/null || true; wait "$gdb" "$daemon" 2>/dev/null || true; gdb= daemon=; }

# The walk that ARCHITECTURE.md lists under this name.
listed() { sed -n "/^<!-- walk $1 -->/,/^<!-- end -->/p" "$root/ARCHITECTURE.md" | grep '^daemon/' || true; }

# compare NAME LOG FILES_MAX CROSSINGS_MAX: the listed steps come in order, and no step is in a file that is not listed.
compare() {
    log=$work/$1.steps
    sed -n 's/^[^ ]* *\(daemon[^ ]*\)$/\1/p' "$2" >"$log"
    if [ "${print:-}" ]; then echo "== $1"; uniq "$log"; return; fi
    listed "$1" >"$work/$1.listed"
    walked=$(cut -d: -f1 "$work/$1.listed" | uniq | wc -l)
    in_files=$(cut -d: -f1 "$work/$1.listed" | sort -u | wc -l)
    missing=$(awk 'NR==FNR {want[n++]=$0; next} want[at]==$0 {at++; while (at<n && want[at]==$0) at++} END {if (at<n) print want[at]; else if (!n) print "the list"}' "$work/$1.listed" "$log")
    echo "$1: $in_files files (at most $3), $((walked - 1)) crossings (at most $4)"
    [ -z "$missing" ] || { echo "$1: not on the way, or not in this order: $missing" >&2; failed=1; }
    [ "$in_files" -le "$3" ] && [ $((walked - 1)) -le "$4" ] || { echo "$1: too long" >&2; failed=1; }
    cut -d: -f1 "$log" | sort -u >"$work/seen"
    cut -d: -f1 "$work/$1.listed" | sort -u | comm -13 - "$work/seen" | sed "s/^/$1: also on the way: /"
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
# A connection that is open before gdb looks: the walk is that of a chunk only.
mkfifo "$work/in"
nc 127.0.0.1 "$port" <"$work/in" >"$work/out" &
exec 3>"$work/in"
echo first >&3
wait_for grep -q first "$work/out"
attach "$data" "$work/chunk" worker
echo chunk >&3
wait_for grep -q chunk "$work/out"
end
compare chunk "$work/chunk" 10 14

start
attach "$data" "$work/datagram" worker
echo datagram | nc -u -w 5 127.0.0.1 "$port" >"$work/out" &
wait_for grep -q datagram "$work/out"
end
compare datagram "$work/datagram" 9 99

exec 3>&-

start
attach "$(files daemon/data/src daemon/src/control)" "$work/reload" "polyportd|worker|signals|tokio|blocking"
config 61s
kill -HUP "$daemon"
wait_for grep -q applied "$work/log"
sleep 5
end
compare reload "$work/reload" 16 99
exit ${failed:+1}
