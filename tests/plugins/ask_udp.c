/* ask_udp.c - sends each line of a stream as a datagram to {"port": N} on 127.0.0.1 through a dialled socket, and writes the
 * answers to the stream. */
#include "plugin.h"

static long port;

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  (void)instance, (void)r, (void)self;
  return port = test_number(json, "port"), PP_OK;
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  pp_dial d = {.struct_size = sizeof d, .kind = PP_DIAL_DATAGRAM,
               .addr = {.family = PP_FAMILY_V4, .port = (uint16_t)port, .ip = {127, 0, 0, 1}}};
  pp_id *socket = calloc(1, sizeof(pp_id));
  (void)self, (void)info;
  *st = socket;
  d.tag = (uint64_t)(uintptr_t)socket;
  host->set_reads(s, 0);
  return host->dial(s, &d);
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  pp_out out = {.data = {p, n}};
  (void)self, (void)s, (void)flags, (void)want;
  if (n) host->send_datagrams(*(pp_id *)st, &out, 1, sizeof out);
  return (int64_t)n;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  if (*(pp_id *)st) host->close(*(pp_id *)st, 0, NULL);
  return free(st), PP_OK;
}
static pp_status socket_open(void *self, pp_id sock, const pp_socket_info *info, void **st) {
  (void)self;
  if (!(info->flags & PP_INFO_OUTBOUND)) return PP_E_UNSUPPORTED;
  *(pp_id *)(uintptr_t)info->tag = sock;
  *st = (void *)(uintptr_t)info->parent;
  return host->set_reads(info->parent, 1);
}
static pp_status on_datagrams(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n, size_t stride) {
  (void)self, (void)sock;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    pp_slice slice = {d->ptr, d->len};
    host->write((pp_id)(uintptr_t)st, &slice, 1, 0);
  }
  return PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data, .closed = closed};
static const pp_socket_ops sock = {.struct_size = sizeof sock, .socket_open = socket_open, .on_datagrams = on_datagrams};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "ask_udp", .create = create,
                                   .stream = &stream, .socket = &sock};
TEST_PLUGIN(handler)
