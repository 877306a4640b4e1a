# nginx as a stream proxy, in its usual form, before a small echo server. It shows how often the address changes from which
# it sees a flow. `nginx` shares its sockets among the workers, `nginx-reuseport` has one for each. NGINX is the program.
server_reply=echo
server_can="nothing config broken taken"
nginx=${NGINX:-nginx}

server_version() { "$nginx" -v 2>&1; }

servers() {
  local each=
  [ "$server" = nginx ] || each=" reuseport"
  cat <<END
  server { listen 127.0.0.1:$port$each backlog=4096; proxy_pass unix:$dir/upstream.sock; proxy_timeout $((600 + value))s; }
  server { listen 127.0.0.1:$port udp$each rcvbuf=4m; proxy_pass 127.0.0.1:$((port + 1)); proxy_timeout $((600 + value))s; }
END
}

modules() { echo "load_module ${NGINX_MODULES:-/usr/lib/nginx/modules}/ngx_stream_module.so;"; }

server_configure() {
  cat >"$dir/nginx.conf" <<END
$(modules)
daemon off;
worker_processes 2;
worker_rlimit_nofile $(ulimit -Hn);
pid $dir/nginx.pid;
error_log $dir/log notice;
events { worker_connections 16384; }
stream {
$(servers)
}
END
}

server_break() { echo "nonsense;" >>"$dir/nginx.conf"; }
server_clash() {
  server_configure
  sed -i "s|^stream {|&\n  server { listen 127.0.0.1:$1; return x; }|" "$dir/nginx.conf"
}

workers() { pgrep -P "$server_pid" || true; }
# As many workers as there should be, none of them one of those before.
all_new() { [ "$(workers | grep -vxF -e "$1" | wc -l)" -ge 2 ]; }

server_reload() {
  local before status=0
  before=$(workers)
  # `nginx -s` reads the configuration itself before it sends the signal; RELOAD=HUP sends the signal alone.
  case ${RELOAD:-} in
  HUP) kill -HUP "$server_pid" ;;
  *) "$nginx" -c "$dir/nginx.conf" -e "$dir/log" -s reload || status=$? ;;
  esac
  case $experiment in broken | taken) sleep 1 ;; *) until_true all_new "$before" ;; esac
  return $status
}

nginx_start() {
  server_configure
  "$nginx" -c "$dir/nginx.conf" -e "$dir/log" 2>"$dir/stderr" &
  server_pid=$!
}

server_start() {
  cc -O2 -o "$dir/upstream" "$here/upstream.c"
  "$dir/upstream" "$dir/upstream.sock" $((port + 1)) >"$dir/upstream.log" &
  upstream_pid=$!
  chmod 711 "$dir"
  nginx_start
  until_true test -S "$dir/upstream.sock"
  chmod 666 "$dir/upstream.sock"
}

server_answers() { [ "$(workers | wc -l)" -eq 2 ]; }
server_alive() { [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; }
server_end() { tail -n 1 "$dir/log"; }
server_says() {
  say "workers: $(workers | wc -l)"
  grep -E "\[(emerg|alert|crit|error|warn)\]" "$dir/log" | cut -d' ' -f3- | cut -c1-160 | sort | uniq -c | sort -rn | head -n 5 | sed 's/^/# /' || true
}
nginx_stop() { server_alive && kill "$server_pid" && wait "$server_pid"; }

server_stop() {
  nginx_stop || true
  kill "$upstream_pid" && wait "$upstream_pid"
  sed 's/^/# /' "$dir/upstream.log"
}
