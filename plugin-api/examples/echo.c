/* echo.c - RFC 862 over TCP, UDP and Unix sockets.
 * cc -shared -fPIC -fvisibility=hidden -I../include -o libpolyport_echo.so echo.c */
#include <polyport/polyport.h>

static const pp_host *host;

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  pp_slice back = {p, n};
  (void)self, (void)st, (void)want;
  host->write(s, &back, 1, flags & PP_DATA_FIN ? PP_WRITE_FIN : 0);
  return (int64_t)n;
}

static pp_status on_datagrams(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n, size_t stride) {
  (void)self, (void)st;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    pp_out back = {{d->ptr, d->len}, d->peer, NULL, NULL, 0, 0};
    host->send_datagrams(sock, &back, 1, sizeof back);
  }
  return PP_OK;
}

static pp_status init(const pp_host *h) { return host = h, PP_OK; }

static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_socket_ops sock = {.struct_size = sizeof sock, .on_datagrams = on_datagrams};
static const pp_handler echo = {.struct_size = sizeof echo, .id = "echo", .summary = "sends back what it gets",
                                .stream = &stream, .socket = &sock};
static const pp_handler *const handlers[] = {&echo};
static const pp_plugin plugin = {
    .struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,
    .host_size_required = sizeof(pp_host), .id = "org.polyport.example.echo", .version = "1.0",
    .license = "MIT OR Apache-2.0", .handlers = handlers, .n_handlers = 1, .init = init};

PP_PLUGIN_NOTE("org.polyport.example.echo", "1.0", sizeof(pp_host), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
