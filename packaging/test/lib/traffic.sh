# shellcheck shell=bash
# Clients in the machine: single ones, and the load tool, which counts what went wrong.

# answers HOW WHERE TEXT ANSWER: HOW is tcp, udp or unix.
answers() { same "$4" "$(inside ask "$1" "$2" "$3")"; }

echoes() { answers "$1" "$2" "a line" "a line"; }

# load_begin ARG..: starts the load tool and waits until each of its clients has had an answer.
load_begin() {
    rm -f "$WORK"/load.*
    mkfifo "$WORK/load.in"
    inside polyport-load "$@" --until-stdin-closes --json <"$WORK/load.in" >"$WORK/load.out" &
    LOADER=$!
    exec 9>"$WORK/load.in"
    echo ready >&9
    within 10 grep -q '^ok' "$WORK/load.out"
}

# load_end: ends it; the report is then in load.json.
load_end() {
    echo stop >&9
    exec 9>&-
    wait "$LOADER" || true
    grep '^{' "$WORK/load.out" >"$WORK/load.json"
    jq -c '{seconds, faults, total}' "$WORK/load.json"
}

# counted FILTER EXPECTED: a number of the report.
counted() { same "$2" "$(jq "$1" "$WORK/load.json")"; }

# hold_begin PORT: a stream that stays open; hold_end: it still echoes.
hold_begin() {
    inside rm -f /rig/held.open /rig/held.go
    inside hold "$1" /rig/held >"$WORK/held.out" &
    within 10 test -e "$ROOT/rig/held.open"
}

hold_end() {
    inside touch /rig/held.go
    within 15 grep "still echoes" "$WORK/held.out"
}
