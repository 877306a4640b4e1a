# shellcheck shell=bash
# The daemon in the machine, as the service manager and /proc see it.

UNIT=polyport.service

property() {
    local -
    set +x
    inside systemctl show --property="$1" --value "$UNIT"
}

main_pid() { property MainPID; }

reload() { inside systemctl reload "$UNIT"; }

is_serving() { [[ $(property ActiveState)/$(property SubState) == active/running ]]; }

# remember NAME: stores the serving process and the number of restarts; unchanged NAME: compares them.
remember() { life >"$WORK/life.$1"; }

unchanged() { same "$(cat "$WORK/life.$1")" "$(life)"; }

life() { echo "$(main_pid) $(property NRestarts) $(property ActiveEnterTimestampMonotonic)"; }

# A field of /proc/PID/status of the daemon.
of_process() { inside sed -n "s/^$1:[[:space:]]*//p" "/proc/$(main_pid)/status"; }

# The log of the unit since `log_mark`.
log_mark() {
    inside journalctl --sync
    inside date +%s.%N >"$WORK/mark"
}

log_since() {
    inside journalctl --sync
    inside journalctl --quiet --no-pager --output=cat --since="@$(cat "$WORK/mark")" "$@"
}

# service NAME HANDLER LISTENER..: writes a file into the administrator's conf.d.
service() {
    local file=$ROOT/etc/polyport/conf.d/$1.yaml name=$1 handler=$2 listener
    shift 2
    {
        echo "services:"
        echo "  $name:"
        echo "    handler: $handler"
        echo "    listen:"
        for listener; do echo "      - $listener"; done
    } >"$file"
}

no_service() { rm "$ROOT/etc/polyport/conf.d/$1.yaml"; }

# Ports of this machine that other machines could reach.
open_to_the_network() {
    inside awk 'FNR > 1 && ($4 == "0A" || FILENAME ~ /udp/) && $2 !~ /^0100007F:/ && $2 !~ /^000000000000000000000000/ \
        {print FILENAME, $2}' /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6
}

# Sets a folder of drop-ins for the unit: override NAME LINE..
override() {
    inside mkdir -p "/run/systemd/system/$UNIT.d"
    printf '%s\n' "[Service]" "${@:2}" | inside tee "/run/systemd/system/$UNIT.d/$1.conf" >/dev/null
    inside systemctl daemon-reload
}

no_override() {
    inside rm -rf "/run/systemd/system/$UNIT.d"
    inside systemctl daemon-reload
}
