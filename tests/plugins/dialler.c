/* dialler.c - dials {"port": N} on 127.0.0.1 in start, which completes when that stream is open. It logs the first data of the
 * peer, the end of the stream, its own destroy, and every callback after destroy. */
#include "plugin.h"

struct dialler { uint16_t port; pp_id id, starting; int heard, gone; };

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  struct dialler *it = calloc(1, sizeof *it);
  (void)r;
  it->port = (uint16_t)test_number(json, "port"), it->id = instance, *self = it;
  return PP_OK;
}
static pp_status start(void *self, pp_id op) {
  struct dialler *it = self;
  pp_dial d = {.struct_size = sizeof d, .kind = PP_DIAL_STREAM,
               .addr = {.family = PP_FAMILY_V4, .port = it->port, .ip = {127, 0, 0, 1}}};
  __atomic_store_n(&it->starting, op, __ATOMIC_RELEASE);
  pp_status status = host->dial(it->id, &d);
  return status < 0 ? status : PP_S_PENDING;
}
/* A destroyed instance is not freed, so that later callbacks are seen. */
static pp_status destroy(void *self) {
  struct dialler *it = self;
  __atomic_store_n(&it->gone, 1, __ATOMIC_RELEASE);
  return test_log(it->id, "svc dialler destroyed"), PP_OK;
}
static void look(struct dialler *it, pp_id s, const char *what) {
  if (what) test_log(s, what);
  if (__atomic_load_n(&it->gone, __ATOMIC_ACQUIRE)) test_log(s, "svc: called after destroy");
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  struct dialler *it = self;
  (void)info, (void)st;
  look(it, s, "svc dialler open");
  return host->complete(__atomic_load_n(&it->starting, __ATOMIC_ACQUIRE), PP_OK, NULL);
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct dialler *it = self;
  (void)st, (void)p, (void)flags, (void)want;
  look(it, s, it->heard++ ? NULL : "svc dialler hears");
  return (int64_t)n;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)st, (void)reason;
  return look(self, s, "svc dialler closed"), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "dialler", .create = create,
                                   .start = start, .destroy = destroy, .stream = &stream};
TEST_PLUGIN(handler)
