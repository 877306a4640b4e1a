# Envoy with a dynamic module as its TCP and its UDP service. The listeners stand in a file that Envoy watches: a new file
# in its place is a reload. ENVOY is the program, in the version that envoy_stamp.c is written for.
server_reply=stamp
server_can="nothing config rename newname cp broken taken"
envoy=${ENVOY:-envoy}
admin="http://127.0.0.1:$((port + 1))"
module=stamp

server_version() { "$envoy" --version | grep -o "version: .*"; }

# ABI is what Envoy logs as its own when it loads a module; another one it takes, with a warning.
server_build() {
  cc -shared -fPIC -O2 -DVERSION=$generation -DABI="\"${ENVOY_ABI:-v0.2.0}\"" -o "$dir/$1" "$here/envoy_stamp.c"
}

server_put() {
  case $1 in
  mv) mv "$dir/new.so" "$dir/lib$module.so" ;;
  cp) cp "$dir/new.so" "$dir/lib$module.so" ;;
  esac
  # Envoy looks at a module only when a listener that names it is changed.
  value=$((value + 1))
  server_configure
}

server_rename() {
  module=stamp$generation
  server_build "lib$module.so"
  server_configure
}

filter() {
  cat <<END
        "@type": type.googleapis.com/envoy.extensions.filters.$1
        dynamic_module_config: {name: $module}
        filter_name: stamp
        filter_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: "$value"}
END
}

# Written beside; server_reload renames it into place.
server_configure() {
  cat >"$dir/listeners.new" <<END
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: streams
  stat_prefix: streams
  address: {socket_address: {address: 127.0.0.1, port_value: $port}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.dynamic_modules
      typed_config:
$(filter network.dynamic_modules.v3.DynamicModuleNetworkFilter)
        terminal_filter: true
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: datagrams
  stat_prefix: datagrams
  address: {socket_address: {address: 127.0.0.1, port_value: $port, protocol: UDP}}
  socket_options: [{level: 1, name: 8, int_value: 4194304, state: STATE_PREBIND, description: SO_RCVBUF}]
  listener_filters:
  - name: envoy.filters.udp_listener.dynamic_modules
    typed_config:
$(filter udp.dynamic_modules.v3.DynamicModuleUdpListenerFilter)
END
}

# One listener more.
server_clash() {
  server_configure
  sed -n '/name: streams/,/terminal_filter/p' "$dir/listeners.new" |
    sed "s/name: streams/name: another/; s/port_value: $port/port_value: $1/" >"$dir/another"
  { cat "$dir/listeners.new"; sed -n 2p "$dir/listeners.new"; cat "$dir/another"; } >"$dir/more"
  mv "$dir/more" "$dir/listeners.new"
}

server_break() { echo "resources: [{" >"$dir/listeners.new"; }

# How many files it has taken over or refused.
envoy_seen() {
  curl -sf "$admin/stats?filter=listener_manager.lds.update_(success|rejected|failure)" | awk '{sum += $2} END {print sum + 0}'
}
envoy_has_seen() { [ "$(envoy_seen)" -gt "$1" ]; }

server_reload() {
  local before lines
  before=$(envoy_seen)
  lines=$(wc -l <"$dir/log")
  mv "$dir/listeners.new" "$dir/listeners.yaml"
  until_true envoy_has_seen "$before"
  tail -n +$((lines + 1)) "$dir/log" | grep -E "\]\[(warning|error|critical)\]" || true
}

server_start() {
  server_build "lib$module.so"
  server_configure
  mv "$dir/listeners.new" "$dir/listeners.yaml"
  cat >"$dir/envoy.yaml" <<END
node: {id: bench, cluster: bench}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: $((port + 1))}}}
dynamic_resources:
  lds_config: {resource_api_version: V3, path_config_source: {path: $dir/listeners.yaml}}
END
  ENVOY_DYNAMIC_MODULES_SEARCH_PATH=$dir "$envoy" -c "$dir/envoy.yaml" --concurrency 2 --disable-hot-restart \
    --drain-time-s "$drain" >"$dir/log" 2>&1 &
  server_pid=$!
}

server_answers() { curl -sf "$admin/ready" && [ "$(envoy_seen)" -gt 0 ]; }
server_alive() { [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; }
server_end() { grep -m 1 -o "Caught [A-Za-z ]*, suspect faulting address.*" "$dir/log" || tail -n 1 "$dir/log"; }
server_says() {
  curl -sf "$admin/stats?filter=listener_manager.lds.update_(success|rejected|failure)$" | sed 's/^/# /'
  say "modules that are mapped: $(grep -o '[^/ ]*stamp[^ ]*so.*' "/proc/$server_pid/maps" | sort -u | tr '\n' ' ')"
}
server_stop() { server_alive && kill "$server_pid" && wait "$server_pid"; }
