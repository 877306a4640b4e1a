/* flows.c - counts the datagrams of each peer in a flow; "end" ends the flow. */
#include "plugin.h"

struct count { pp_id socket; unsigned n; };

static pp_status flow_open(void *self, pp_id flow, const pp_flow_info *info, void **st) {
  struct count *it = calloc(1, sizeof *it);
  (void)self, (void)flow;
  it->socket = info->socket;
  return *st = it, PP_OK;
}
static pp_status on_datagrams(void *self, void *st, pp_id flow, const pp_datagram *v, size_t n, size_t stride) {
  struct count *it = st;
  (void)self;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    char text[32];
    snprintf(text, sizeof text, "%u", ++it->n);
    pp_out out = {.data = {text, strlen(text)}, .peer = flow};
    host->send_datagrams(it->socket, &out, 1, sizeof out);
    if (d->len == 3 && memcmp(d->ptr, "end", 3) == 0) host->close(flow, 0, NULL);
  }
  return PP_OK;
}
static pp_status closed(void *self, void *st, pp_id flow, uint32_t reason) {
  char text[64];
  (void)self;
  snprintf(text, sizeof text, "svc flow of %u closed reason %u", ((struct count *)st)->n, reason);
  test_log(flow, text);
  return free(st), PP_OK;
}
static const pp_socket_ops sock = {.struct_size = sizeof sock};
static const pp_flow_ops flow = {.struct_size = sizeof flow, .idle_timeout = 400000000, .flow_open = flow_open,
                                 .on_datagrams = on_datagrams, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "flows", .socket = &sock,
                                   .flow = &flow};
TEST_PLUGIN(handler)
