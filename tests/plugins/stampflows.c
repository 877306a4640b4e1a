/* stampflows.c - answers each datagram with "vN " and its text, through a flow for each peer; N is the VERSION. "count" is answered
 * with the number of datagrams in the flow. With -DMOVES flows move to new code, else they stay. -DFLAGS are the flags of
 * the handler; -DIMPORT is logged before an import. */
#include "plugin.h"

struct flow { pp_id socket; uint64_t n; };

static pp_status flow_open(void *self, pp_id id, const pp_flow_info *info, void **st) {
  struct flow *it = calloc(1, sizeof *it);
  (void)self, (void)id;
  it->socket = info->socket;
  return *st = it, PP_OK;
}
static pp_status on_datagrams(void *self, void *st, pp_id id, const pp_datagram *v, size_t n, size_t stride) {
  struct flow *it = st;
  (void)self;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    char text[2048];
    size_t len = (size_t)snprintf(text, sizeof text, "v%d ", VERSION);
    size_t most = d->len < sizeof text - len ? d->len : sizeof text - len;
    it->n++;
    if (most) memcpy(text + len, d->ptr, most);
    len += most;
    if (d->len == 5 && memcmp(d->ptr, "count", 5) == 0)
      len = (size_t)snprintf(text, sizeof text, "v%d %llu", VERSION, (unsigned long long)it->n);
    pp_out out = {.data = {text, len}, .peer = id};
    host->send_datagrams(it->socket, &out, 1, sizeof out);
  }
  return PP_OK;
}
static pp_status on_drain(void *self, void *st, pp_id id, pp_nanos deadline) {
  pp_out out = {.data = {"bye", 3}, .peer = id};
  (void)self, (void)deadline;
  host->send_datagrams(((struct flow *)st)->socket, &out, 1, sizeof out);
  return host->close(id, 0, NULL);
}
#ifdef MOVES
#ifndef IMPORT
#define IMPORT
#endif
static pp_status export_state(void *self, void *st, pp_id id, pp_sink *out) {
  (void)self, (void)id;
  if (test_fault("export") < 0) return test_fault("export");
  return out->write(out, &((struct flow *)st)->n, sizeof(uint64_t)) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status import_state(void *self, pp_id id, const pp_flow_info *info, uint32_t version, pp_source *in,
                              void **st) {
  uint64_t n;
  (void)version;
  IMPORT;
  if (test_fault("import") < 0) return test_fault("import");
  if (in->read(in, &n, sizeof n) != sizeof n) return PP_E_INVAL;
  flow_open(self, id, info, st);
  return ((struct flow *)*st)->n = n, PP_OK;
}
#define MOVE(CALLBACK) CALLBACK
#else
#define MOVE(CALLBACK) NULL
#endif
static pp_status closed(void *self, void *st, pp_id id, uint32_t reason) {
  char text[64];
  (void)self;
  snprintf(text, sizeof text, "svc v%d flow closed reason %u", VERSION, reason);
  return test_log(id, text), free(st), PP_OK;
}
static const pp_socket_ops sock = {.struct_size = sizeof sock};
static const pp_flow_ops flow = {
    .struct_size = sizeof flow, .flow_open = flow_open, .on_datagrams = on_datagrams, .on_drain = on_drain,
    .export_state = MOVE(export_state), .import_state = MOVE(import_state), .closed = closed};
#ifndef FLAGS
#define FLAGS 0
#endif
static const pp_handler handler = {.struct_size = sizeof handler, .flags = FLAGS, .id = TEST_NAME, .summary = "stampflows",
                                   .state_version = 1, .state_min_version = 1, .socket = &sock, .flow = &flow};
TEST_PLUGIN(handler)
