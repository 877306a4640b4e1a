# Polyport with a plugin in C as its TCP and its UDP service. POLYPORTD and POLYPORTCTL are the programs.
server_reply=stamp
server_can="nothing config rename newname cp broken taken"
polyportd=${POLYPORTD:-polyportd}
polyportctl=${POLYPORTCTL:-polyportctl}
root=$(cd "$here/../.." && pwd)
plugin=stamp

server_version() { "$polyportd" --version; }

server_build() {
  cc -shared -fPIC -O2 -I "$root/plugin-api/include" -I "$root/tests/plugins" -DVERSION=$generation \
    "-DTEST_NAME=\"stamp\"" -o "$dir/$1" "$root/tests/plugins/stamp.c"
}

server_put() {
  case $1 in
  mv) mv "$dir/new.so" "$dir/plugins/$plugin.so" ;;
  cp) cp "$dir/new.so" "$dir/plugins/$plugin.so" ;;
  esac
}

server_rename() {
  plugin=stamp$generation
  server_build "plugins/$plugin.so"
  server_configure
}

server_configure() {
  cat >"$dir/polyport.yaml" <<END
daemon: {workers: 2, plugin-path: $dir/plugins, drain-timeout: ${drain}s, stop-timeout: 60s}
admin: {socket: $dir/admin.sock}
plugins:
  stamp: {library: $plugin}
services:
  stamp:
    listen: ["tcp://127.0.0.1:$port", "udp://127.0.0.1:$port"${1:+, "$1"}]
    handler: stamp
    timeouts: {idle: $((600 + value))s}
END
}

server_break() { echo "services: [" >>"$dir/polyport.yaml"; }
server_clash() { server_configure "tcp://127.0.0.1:$1"; }

server_reload() { "$polyportctl" --socket "$dir/admin.sock" reload; }

server_start() {
  mkdir "$dir/plugins"
  server_build "plugins/$plugin.so"
  server_configure
  "$polyportd" --config "$dir/polyport.yaml" >"$dir/log" 2>&1 &
  server_pid=$!
}

server_answers() { "$polyportctl" --socket "$dir/admin.sock" status; }
server_alive() { [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; }
server_end() { tail -n 1 "$dir/log"; }
server_says() {
  "$polyportctl" --socket "$dir/admin.sock" plugins >"$dir/plugins.txt"
  grep -v retired "$dir/plugins.txt" | sed 's/^/# /'
  say "generations that are retired: $(grep -c ' retired ' "$dir/plugins.txt" || true)"
}
server_stop() { server_alive && kill "$server_pid" && wait "$server_pid"; }
