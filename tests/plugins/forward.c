/* forward.c - sends each datagram to {"port": N} on 127.0.0.1 through a socket dialled for it, and the answer to the sender with
 * "vN " before it. -DFLAGS are the flags of the handler. */
#include "plugin.h"

struct question { pp_id asked; pp_addr from; char text[64]; size_t len; };

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  (void)instance, (void)r;
  return *self = (void *)test_number(json, "port"), PP_OK;
}
static pp_status socket_open(void *self, pp_id sock, const pp_socket_info *info, void **st) {
  (void)self;
  if (!(info->flags & PP_INFO_OUTBOUND)) return PP_OK;
  struct question *it = *st = (void *)(uintptr_t)info->tag;
  pp_out out = {.data = {it->text, it->len}};
  return host->send_datagrams(sock, &out, 1, sizeof out) == 1 ? PP_OK : PP_E_FAIL;
}
static pp_status ask(void *self, pp_id sock, const pp_datagram *d) {
  struct question *it = calloc(1, sizeof *it);
  it->asked = sock, it->from = d->from, it->len = d->len < sizeof it->text ? d->len : sizeof it->text;
  memcpy(it->text, d->ptr, it->len);
  pp_dial dial = {.struct_size = sizeof dial, .kind = PP_DIAL_DATAGRAM, .tag = (uint64_t)(uintptr_t)it,
                  .addr = {.family = PP_FAMILY_V4, .port = (uint16_t)(uintptr_t)self, .ip = {127, 0, 0, 1}}};
  return host->dial(sock, &dial);
}
static pp_status on_datagrams(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n, size_t stride) {
  struct question *it = st;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    if (it == NULL) {
      if (ask(self, sock, d) < 0) return PP_E_FAIL;
      continue;
    }
    char text[128];
    int len = snprintf(text, sizeof text, "v%d %.*s", VERSION, (int)d->len, (const char *)d->ptr);
    pp_out out = {.data = {text, (size_t)len}, .to = &it->from};
    host->send_datagrams(it->asked, &out, 1, sizeof out);
    host->close(sock, 0, NULL);
  }
  return PP_OK;
}
static pp_status socket_closed(void *self, void *st, pp_id sock, uint32_t reason) {
  char text[64];
  (void)self;
  snprintf(text, sizeof text, "svc v%d %s closed reason %u", VERSION, st ? "question" : "socket", reason);
  return test_log(sock, text), free(st), PP_OK;
}
static const pp_socket_ops sock = {.struct_size = sizeof sock, .socket_open = socket_open, .on_datagrams = on_datagrams,
                                   .socket_closed = socket_closed};
#ifndef FLAGS
#define FLAGS 0
#endif
static const pp_handler handler = {.struct_size = sizeof handler, .flags = FLAGS, .id = TEST_NAME, .summary = "forward", .create = create,
                                   .socket = &sock};
TEST_PLUGIN(handler)
