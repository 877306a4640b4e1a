/* relay.c - a small proxy: each stream dials {"port": N} on 127.0.0.1; bytes and ends of both directions are passed on.
 * With MOVES, both sides migrate. */
#include "plugin.h"

struct side { pp_id me, other; };

static long port;

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  (void)instance, (void)r, (void)self;
  return port = test_number(json, "port"), PP_OK;
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  struct side *it = calloc(1, sizeof *it);
  (void)self;
  it->me = s;
  *st = it;
  if (info->flags & PP_INFO_OUTBOUND) {
    struct side *client = (struct side *)(uintptr_t)info->tag;
    if (info->parent != client->me) return test_log(s, "svc: the parent is another"), free(it), PP_E_FAIL;
    it->other = client->me;
    client->other = s;
    return host->set_reads(client->me, 1);
  }
  pp_dial d = {.struct_size = sizeof d, .kind = PP_DIAL_STREAM, .tag = (uint64_t)(uintptr_t)it,
               .addr = {.family = PP_FAMILY_V4, .port = (uint16_t)port, .ip = {127, 0, 0, 1}}};
  host->set_reads(s, 0);
  return host->dial(s, &d);
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct side *it = st;
  pp_slice slice = {p, n};
  (void)self, (void)s, (void)want;
  if (it->other == 0) return (int64_t)n;
  pp_status status = host->write(it->other, &slice, 1, flags & PP_DATA_FIN ? PP_WRITE_FIN : 0);
  if (status == PP_S_ABOVE_HIGH) host->set_reads(s, 0);
  return status < 0 ? status : (int64_t)n;
}
static pp_status on_writable(void *self, void *st, pp_id s) {
  struct side *it = st;
  (void)self, (void)s;
  if (it->other) host->set_reads(it->other, 1);
  return PP_OK;
}
static pp_status on_dial_failed(void *self, void *st, pp_id s, uint64_t tag, pp_status why) {
  char text[64];
  (void)self, (void)st, (void)tag;
  snprintf(text, sizeof text, "dial failed %d\n", why);
  test_write(s, text);
  return host->close(s, PP_CLOSE_FLUSH, NULL);
}
#ifdef MOVES
static pp_status export_state(void *self, void *st, pp_id s, pp_sink *out) {
  struct side *it = st;
  (void)self, (void)s;
  return out->write(out, &it->other, sizeof it->other) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                              void **st) {
  struct side *it = *st = calloc(1, sizeof *it);
  (void)self, (void)info, (void)version;
  it->me = s;
  if (in->read(in, &it->other, sizeof it->other) == sizeof it->other) return PP_OK;
  return free(it), PP_E_INVAL;
}
#endif
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  struct side *it = st;
  (void)self, (void)s;
  if (it->other && reason != PP_END_MIGRATED) host->close(it->other, PP_CLOSE_FLUSH, NULL);
  return free(it), PP_OK;
}
static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .open = open_, .on_data = on_data, .on_writable = on_writable,
    .on_dial_failed = on_dial_failed, .closed = closed,
#ifdef MOVES
    .export_state = export_state, .import_state = import_state,
#endif
};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "relay", .create = create,
                                   .state_version = VERSION, .state_min_version = 1, .stream = &stream};
TEST_PLUGIN(handler)
