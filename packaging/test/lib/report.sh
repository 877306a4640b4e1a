# shellcheck shell=bash
# The output of checks: a TAP line for each, with its output when it failed.

passed=0 failed=0 broken_off=

# check "what is so" FUNCTION [ARG..]: runs it with -e in a subshell of its own, so what it sets is gone afterwards.
# Nothing may be checked inside `if` or `&&`: bash would ignore -e. Two checks never share a line.
check() {
    local name=$1 code
    shift
    [[ -z $broken_off ]] || return 0
    if [[ -n ${ONLY:-} && ! $name =~ $ONLY ]]; then return 0; fi
    : >"$WORK/check.log"
    bounded "$@"
    code=$?
    [[ -z ${UNTIL:-} || ! $name =~ $UNTIL ]] || broken_off=yes
    if [[ $code -eq 0 ]]; then
        passed=$((passed + 1))
        say "ok $(count) - $SUITE: $name"
        return 0
    fi
    failed=$((failed + 1))
    say "not ok $(count) - $SUITE: $name"
    say "# ended with $code; the end of what it did:"
    grep -vE '^>+ (local -|set \+x)$' "$WORK/check.log" | tail -n 25 | sed 's/^/#   /' >&3
    evidence | sed 's/^/#   log: /' >&3
    return 0
}

# Runs a check in a process group of its own, and ends that when it takes longer than any check may.
bounded() {
    local job guard code
    set -m
    (
        set +m
        exec 8>>"$WORK/check.log" 1>&8 2>&8 </dev/null
        BASH_XTRACEFD=8 PS4='> '
        set -ex
        "$@"
    ) &
    job=$!
    (
        sleep 150
        echo "it took longer than any check may" >>"$WORK/check.log"
        kill -KILL -- "-$job"
    ) &
    guard=$!
    set +m
    wait "$job"
    code=$?
    kill -KILL -- "-$guard"
    wait "$guard"
    return $code
} 2>/dev/null

# must "what is so" FUNCTION [ARG..]: a check without which the rest of the suite would be meaningless.
must() {
    local before=$failed
    check "$@"
    if [[ $failed -gt $before ]]; then
        broken_off=yes
        say "# the rest of $SUITE is left out"
    fi
}

# The last log lines of the unit and of systemd, where a machine is up.
evidence() {
    [[ -z $LEADER ]] || inside journalctl --quiet --no-pager --output=cat --lines=8 "_PID=1" + "_SYSTEMD_UNIT=$UNIT" 2>&1
}

count() { echo $((passed + failed)); }

say() { printf '%s\n' "$*" >&3; }

# A rig that cannot go on does not judge the packages.
give_up() {
    say "Bail out! $*"
    exit 3
}

# Returns 0 when every check passed.
summary() {
    say "1..$(count)"
    say "# $passed passed, $failed failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

# fails COMMAND..: it has to end with anything but 0. (`!` would be blind to it under -e.)
fails() {
    if "$@"; then return 1; fi
}

# within SECONDS COMMAND..: polls until it succeeds.
within() {
    local - end=$((SECONDS + $1 + 1))
    set +x
    shift
    until ( "$@" ) >/dev/null 2>&1; do
        if [[ $SECONDS -ge $end ]]; then
            echo "not within its time: $*"
            "$@"
            return 1
        fi
        sleep 0.05
    done
}

# same EXPECTED ACTUAL
same() {
    local -
    set +x
    [[ "$1" == "$2" ]] || { echo "expected: $1"; echo "     got: $2"; return 1; }
}

# is EXPECTED COMMAND..: compares the output of the command; its exit code does not matter.
is() {
    local expected=$1 actual
    shift
    actual=$("$@" 2>&1) || true
    same "$expected" "$actual"
}

# has NEEDLE <text
has() {
    local - text
    set +x
    text=$(cat)
    [[ "$text" == *"$1"* ]] || { echo "no »$1« in: $text"; return 1; }
}

# lacks PATTERN <text: no line may match.
lacks() {
    if grep -E -- "$1"; then return 1; fi
}
