# nginx with a module in C as its TCP and its UDP service. NGINX_SOURCE is a copy of nginx's sources in its very version (on
# Debian the package nginx-dev has them under /usr/share/nginx/src), in which `configure` may write.
. "$here/nginx.sh"
server_reply=stamp
server_can="nothing config rename newname cp broken taken"
module=stamp.so

modules() {
  echo "load_module ${NGINX_MODULES:-/usr/lib/nginx/modules}/ngx_stream_module.so;"
  echo "load_module $dir/$module;"
}

servers() {
  echo "  server { listen 127.0.0.1:$port reuseport backlog=4096; proxy_timeout $((600 + value))s; stamp; }"
  echo "  server { listen 127.0.0.1:$port udp reuseport rcvbuf=4m; proxy_timeout $((600 + value))s; stamp; }"
}

server_build() {
  local flags=()
  cd "$NGINX_SOURCE"
  if [ ! -f objs/Makefile ]; then
    [ ! -f conf_flags ] || . ./conf_flags
    flags=("${NGX_CONF_FLAGS[@]}")
    ./configure "${flags[@]}" --with-stream=dynamic --add-dynamic-module="$here/nginx_stamp" >configure.log
  fi
  rm -f objs/ngx_stream_stamp_module.so objs/addon/nginx_stamp/stamp.o
  make -s -f objs/Makefile objs/ngx_stream_stamp_module.so CFLAGS="-pipe -O -W -Wall -Wno-unused-parameter -Werror -g -DVERSION=$generation"
  cp objs/ngx_stream_stamp_module.so "$dir/$1"
  cd "$here"
}

server_put() {
  case $1 in
  mv) mv "$dir/new.so" "$dir/$module" ;;
  cp) cp "$dir/new.so" "$dir/$module" ;;
  esac
}

server_rename() {
  module=stamp$generation.so
  server_build "$module"
  server_configure
}

server_start() {
  server_build "$module"
  nginx_start
}

server_stop() { nginx_stop; }
