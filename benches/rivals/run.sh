#!/usr/bin/env bash
# One script for Polyport, Envoy and nginx: a server under load is changed, and what its clients saw is counted.
# What it measures, what it wants and what came out: docs/reload-compared.md
set -euo pipefail

usage() {
  cat >&2 <<'END'
usage: run.sh SERVER EXPERIMENT [TIMES]
  SERVER      polyport | envoy | nginx-module | nginx | nginx-reuseport
  EXPERIMENT  nothing    no change, for comparison
              config     a value of the configuration is changed, TIMES times
              rename     new code is put in place by rename, and reloaded, TIMES times
              newname    new code under another name, and a configuration that names it, TIMES times
              cp         new code is copied over the file that is in use, and reloaded, once
              broken     a configuration that is no configuration is reloaded, once
              taken      a listener is added where another process listens already, once
environment:
  LOAD        polyport-load           POLYPORTD, POLYPORTCTL, ENVOY, NGINX   the programs
  PORT        17000 when not set      PAUSE   seconds between two changes, 3 when not set
  DRAIN       seconds that a server gives to old connections, 10 when not set; it is waited for at the end
  STREAMS     who may answer on a connection that stays: ordered (old code, too) when not set, exact (new code only)
END
  exit 2
}

[ $# -ge 2 ] || usage
server=$1 experiment=$2 times=${3:-5}
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-17000} pause=${PAUSE:-3} drain=${DRAIN:-10}
load=${LOAD:-polyport-load}
generation=1
value=1
server_pid=

case $server in
polyport | envoy | nginx-module) . "$here/$server.sh" ;;
nginx | nginx-reuseport) . "$here/nginx.sh" ;;
*) usage ;;
esac
case $experiment in nothing | config | rename | newname | cp | broken | taken) ;; *) usage ;; esac
[[ " $server_can " == *" $experiment "* ]] || { echo "# $server cannot do $experiment by a reload"; exit 0; }
dir=$(mktemp -d)

say() { echo "# $*"; }

# Waits up to 20 s for a command to succeed.
until_true() {
  local tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 1 ] && ! server_alive; then return 1; fi
    [ $tries -lt 400 ] || { say "gave up waiting for: $*"; return 1; }
    sleep 0.05
  done
}

# Asks the load tool for something and waits until it is in force.
tell() {
  local heard
  kill -0 "$load_pid" 2>/dev/null || return 0
  echo "$*" >&"${LOADING[1]}"
  read -r -t 60 -u "${LOADING[0]}" heard || { say "the load tool does not answer to: $*"; return 0; }
}

# Reloads, and prints what the requester learns.
reload() {
  local began status=0 told
  began=$(date +%s%N)
  told=$(server_reload 2>&1) || status=$?
  say "reload: exit $status after $((($(date +%s%N) - began) / 1000000)) ms${told:+; $(tail -n 1 <<<"$told" | cut -c1-200)}"
}

change() {
  case $experiment in
  config) value=$((value + 1)); server_configure ;;
  rename) generation=$((generation + 1)); server_build new.so; server_put mv ;;
  newname) generation=$((generation + 1)); server_rename ;;
  cp) generation=$((generation + 1)); server_build new.so; server_put cp ;;
  broken) server_break ;;
  taken) take_port; server_clash $((port + 2)) ;;
  esac
}

# Somebody else listens on the port after the next.
take_port() {
  python3 -c 'import socket, sys, time; s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(600)' \
    $((port + 2)) &
  taker_pid=$!
  until_true bash -c "exec 3<>/dev/tcp/127.0.0.1/$((port + 2))"
}

finish() {
  [ -z "${taker_pid:-}" ] || kill "$taker_pid"
  server_stop || true
  rm -rf "$dir"
}
trap finish EXIT

server_start
until_true server_answers
say "$(server_version); $(uname -sr), $(nproc) processors"
say "$server, $experiment; drain $drain s, pause $pause s"
coproc LOADING { exec "$load" --tcp "127.0.0.1:$port" --udp "127.0.0.1:$port" --connect 64 --hold 200 --ping-every 50ms \
  --rate 5000 --sources 40 --reply "$server_reply" --streams "${STREAMS:-ordered}" --until-stdin-closes; }
load_pid=$LOADING_PID
tell generation 1
tell ready
sleep "$pause"

case $experiment in nothing) rounds=0 ;; cp | broken | taken) rounds=1 ;; *) rounds=$times ;; esac
tell mark changes
for _ in $(seq 1 "$rounds"); do
  change
  tell announce "$generation"
  reload
  tell generation "$generation"
  sleep "$pause"
  server_alive || { say "the server is dead: $(server_end)"; break; }
done
[ "$rounds" -gt 0 ] || sleep $((pause * times))
tell mark after
sleep $((drain + pause))
server_alive && server_says
echo stop >&"${LOADING[1]}" || true
# Of the broken streams, one is printed in full.
awk '/^stream [0-9]+ broke/ && told++ { next } { print }' <&"${LOADING[0]}" || true
wait "$load_pid" && status=0 || status=$?
say "polyport-load ended with $status"
