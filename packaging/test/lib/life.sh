# shellcheck shell=bash
# Checks that do not depend on how the daemon was installed.

unit_understood() {
    lacks "$UNIT.*(Unknown|Failed to parse|ignoring|Invalid)" < <(inside journalctl --quiet --no-pager _PID=1)
}

unit_verified() { is "" inside systemd-analyze verify --man=no "$UNIT"; }

daemon_confined() {
    check "the exposure is 1.4 at most" inside systemd-analyze security --offline=yes --threshold=14 --no-pager "$UNIT"
    check "it is not root, in all four ids" confined_user
    check "of capabilities it has that for low ports, and can gain no other" confined_capabilities
    check "it runs under a filter of system calls and gains no privileges" confined_kernel
    check "it cannot write to the system, nor run what it can write" confined_files
    check "the unit is notify with a watchdog, and its reload reports the outcome" confined_unit
}

confined_user() {
    local id
    id=$(inside id -u _polyport)
    [[ $id -ne 0 ]]
    same "$(printf '%s\t%s\t%s\t%s' "$id" "$id" "$id" "$id")" "$(of_process Uid)"
}

confined_capabilities() {
    local set
    for set in CapBnd CapEff CapPrm; do same 0000000000000400 "$(of_process "$set")"; done
}

confined_kernel() {
    same 1 "$(of_process NoNewPrivs)"
    same 2 "$(of_process Seccomp)"
}

# As the daemon sees it: its user, in its mounts.
as_daemon() {
    inside nsenter --target "$(main_pid)" --mount -- setpriv --reuid=_polyport --regid=_polyport --clear-groups "$@"
}

confined_files() {
    local folder
    for folder in /etc /usr /var /home /root; do fails as_daemon touch "$folder/x"; done
    for folder in /var/lib/polyport /var/log/polyport /run/polyport /tmp; do
        as_daemon sh -ec "cp /bin/true $folder/rig-true"
        fails as_daemon "$folder/rig-true"
        as_daemon rm "$folder/rig-true"
    done
}

confined_unit() {
    same notify "$(property Type)"
    same main "$(property NotifyAccess)"
    same 30s "$(property WatchdogUSec)"
    has "polyportctl reload" < <(property ExecReload)
    [[ $(property FileDescriptorStoreMax) -gt 0 ]]
}

daemon_configured() {
    check "a file in conf.d and a reload enable a service" service_enabled
    check "TCP clients are answered" echoes tcp 7007
    check "UDP clients are answered" echoes udp 7007
    check "clients of a Unix socket are answered" echoes unix /run/polyport/echo.sock
    check "a port below 1024 is answered" echoes tcp 7
    check "a port below 1024 is opened by a cold start, too" low_port_cold
    check "HUP alone reloads" hup_reloads
    check "curl finds the daemon ready" ready
    check "a stop is clean and leaves no socket behind" stops_cleanly
}

service_enabled() {
    service echo echo tcp://127.0.0.1:7007 udp://127.0.0.1:7007 tcp://127.0.0.1:7 unix:///run/polyport/echo.sock
    remember reload
    reload
    unchanged reload
}

# A restart would find the socket in the fd store.
low_port_cold() {
    inside systemctl stop "$UNIT"
    inside systemctl start "$UNIT"
    echoes tcp 7
}

hup_reloads() {
    service more echo tcp://127.0.0.1:7008
    inside systemctl kill --kill-whom=main --signal=HUP "$UNIT"
    within 10 echoes tcp 7008
    no_service more
    inside systemctl kill --kill-whom=main --signal=HUP "$UNIT"
    within 10 fails echoes tcp 7008
}

ready() {
    inside curl --silent --show-error --fail --max-time 10 --unix-socket /run/polyport/admin.sock http://polyport/readyz
}

stops_cleanly() {
    inside systemctl stop "$UNIT"
    same success "$(property Result)"
    fails echoes tcp 7007
    fails inside test -e /run/polyport
    inside systemctl start "$UNIT"
    echoes tcp 7007
}

daemon_refuses_what_is_broken() {
    remember broken
    check "over a broken configuration a reload fails" broken_reload
    check "polyportctl reports the reason and the place" broken_said
    check "the log and the status say so too" broken_logged
    check "polyportd --check finds it" broken_checked
    check "the old configuration serves on" echoes tcp 7007
    check "and nothing was restarted" unchanged broken
    check "mended, the reload is good" mended
}

broken_reload() {
    log_mark
    service zz-broken no-such-handler tcp://127.0.0.1:7009
    fails reload
}

broken_said() {
    fails inside polyportctl reload 2>"$WORK/said"
    cat "$WORK/said"
    has "zz-broken.yaml:3" <"$WORK/said"
    has no-such-handler <"$WORK/said"
}

broken_logged() {
    has "zz-broken.yaml:3" < <(log_since --unit="$UNIT")
    has zz-broken.yaml < <(inside systemctl status --no-pager --lines=0 "$UNIT")
}

broken_checked() {
    local code=0
    inside polyportd --check || code=$?
    same 78 "$code"
}

mended() {
    no_service zz-broken
    reload
    echoes tcp 7007
}

daemon_survives() {
    check "killed by SEGV it is restarted, and who connects meanwhile is served" survives_segv
    check "killed by KILL under load it refuses no connection" survives_kill
    check "hung, the watchdog ends it, and who connects meanwhile is served" survives_hang
    check "killed twenty times in a row it comes back" survives_often
    check "a port that is taken is said, tried again, and served when it is free" survives_busy_port
}

survives_segv() {
    local restarts
    restarts=$(property NRestarts)
    inside sh -ec 'kill -s SEGV "$1"; queue 7007 20' sh "$(main_pid)" >"$WORK/said"
    cat "$WORK/said"
    has "answered: 20" <"$WORK/said"
    # The daemon was down while they connected.
    fails has "while: running" <"$WORK/said"
    same $((restarts + 1)) "$(property NRestarts)"
}

# Accepted connections are lost with the process; no connection may be refused.
survives_kill() {
    load_begin --tcp 127.0.0.1:7007 --connect 8 --hold 0
    inside systemctl kill --kill-whom=main --signal=KILL "$UNIT"
    within 20 is_serving
    echo ready >&9
    within 20 has_twice
    load_end
    counted .total.connects.refused 0
}

survives_hang() {
    local before
    override watchdog WatchdogSec=2
    inside systemctl restart "$UNIT"
    before=$(main_pid)
    log_mark
    inside kill -s STOP "$before"
    inside queue 7007 5 >"$WORK/said"
    cat "$WORK/said"
    has "answered: 5" <"$WORK/said"
    [[ $(main_pid) -ne $before ]]
    has "atchdog timeout" < <(log_since _PID=1)
    no_override
    inside systemctl restart "$UNIT"
}

survives_often() {
    local n before
    for ((n = 0; n < 20; n++)); do
        before=$(main_pid)
        inside kill -s KILL "$before"
        within 20 another_than "$before"
    done
    echoes tcp 7007
}

another_than() { is_serving && [[ $(main_pid) -ne $1 ]]; }

started_again() { [[ $(property NRestarts) -ge $1 ]]; }

survives_busy_port() {
    service busy echo tcp://127.0.0.1:7010
    log_mark
    inside systemctl stop "$UNIT"
    inside systemd-run --quiet --unit=thief nc -l -k 127.0.0.1 7010
    within 5 inside grep -q ':1B62 ' /proc/net/tcp
    fails inside systemctl start "$UNIT"
    within 30 started_again 3
    log_since --unit="$UNIT" >"$WORK/said"
    inside systemctl stop thief
    within 30 echoes tcp 7010
    within 30 echoes tcp 7007
    has 7010 <"$WORK/said"
    no_service busy
    inside systemctl reset-failed "$UNIT"
    reload
}

runs_what_is_installed() {
    within 10 is_serving
    same "$(inside stat -c %d:%i /usr/bin/polyportd)" "$(inside stat -L -c %d:%i "/proc/$(main_pid)/exe")"
}

upgraded_in_place() {
    is_serving
    same "$(cut -d' ' -f2- "$WORK/life.upgrade")" "$(life | cut -d' ' -f2-)"
}

has_twice() { [[ $(grep -c '^ok' "$WORK/load.out") -ge 2 ]]; }

plugin_removed_restart() {
    inside systemctl restart "$UNIT"
    echoes tcp 7007
}

nothing_runs() {
    fails inside pgrep -u _polyport
    same "" "$(inside systemctl --failed --no-legend)"
}
