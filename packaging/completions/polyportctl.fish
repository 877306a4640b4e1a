# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_polyportctl_global_optspecs
    string join \n socket= timeout= h/help V/version
end

function __fish_polyportctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_polyportctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_polyportctl_using_subcommand
    set -l cmd (__fish_polyportctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c polyportctl -n "__fish_polyportctl_needs_command" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_needs_command" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_needs_command" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -s V -l version -d 'Print version'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "status" -d 'Show the daemon as a whole: what it does, how the last change ended, what to look at'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "services" -d 'Show the services with their sockets, streams and instances'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "plugins" -d 'Show the plugins with every generation that is in memory, or go back to one before'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "plan" -d 'Show what a reload would change; changes nothing'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "reload" -d 'Put the configuration and the plugins on disk in force: all of it, or nothing'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "confirm" -d 'Keep what `reload --confirm` has put in force'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "drain" -d 'Take a service or an instance out of service, until the next reload brings it back'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "metrics" -d 'Print what is measured, in the text format of Prometheus'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "ready" -d 'Say whether the daemon serves and every instance is healthy; 1 with the reason while not'
complete -c polyportctl -n "__fish_polyportctl_needs_command" -f -a "live" -d 'Say whether the daemon answers at all'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand status" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand status" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand status" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand services" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand services" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand services" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand services" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -f -a "list" -d 'Show them, as without a word'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and not __fish_seen_subcommand_from list rollback" -f -a "rollback" -d 'Let the generation before serve again'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from list" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from list" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from rollback" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from rollback" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from rollback" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plugins; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plan" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plan" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plan" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand plan" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand reload" -l confirm -d 'Go back by itself unless `polyportctl confirm` follows within this time: 60s, 5m' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand reload" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand reload" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand reload" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand confirm" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand confirm" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand confirm" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand confirm" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand drain" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand drain" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand drain" -l wait -d 'Wait until its last stream is gone'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand drain" -l json -d 'Show the daemon\'s answer as JSON, as it is'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand drain" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand metrics" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand metrics" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand ready" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand ready" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand ready" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c polyportctl -n "__fish_polyportctl_using_subcommand live" -l socket -d 'The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else /run/polyport/admin.sock]' -r -F
complete -c polyportctl -n "__fish_polyportctl_using_subcommand live" -l timeout -d 'How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something]' -r
complete -c polyportctl -n "__fish_polyportctl_using_subcommand live" -s h -l help -d 'Print help (see more with \'--help\')'
