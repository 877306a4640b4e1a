/* closes.c - closes its stream in the callback that the first byte names: 'd' on_data, 'k' on_wake, 't' on_timer, 'w' on_writable,
 * 'r' on_data by reset, 'n' without a flush, 'e' on_data by an error; otherwise in on_drain. {"at": "open"} closes in
 * open, {"at": "refuse"} lets open fail. Each close is called twice: the second must be refused or do nothing. */
#include "plugin.h"

struct closes { int open, refuse; };

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  struct closes *it = calloc(1, sizeof *it);
  (void)instance, (void)r;
  it->open = test_config_is(json, "at", "open"), it->refuse = test_config_is(json, "at", "refuse");
  return *self = it, PP_OK;
}
static pp_status destroy(void *self) { return free(self), PP_OK; }
static pp_status shut(pp_id s, const char *where, uint32_t how) {
  test_write(s, where);
  host->close(s, how, NULL);
  host->close(s, how, NULL);
  return PP_OK;
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  struct closes *it = self;
  (void)info, (void)st;
  if (it->refuse) return PP_E_DENIED;
  return it->open ? shut(s, "open\n", PP_CLOSE_FLUSH) : PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  static const char part[1 << 16];
  pp_slice slice = {part, sizeof part};
  (void)self, (void)st, (void)flags, (void)want;
  if (n == 0) return 0;
  if (*p == 'd') shut(s, "data\n", PP_CLOSE_FLUSH);
  if (*p == 'r') shut(s, "reset\n", PP_CLOSE_RESET);
  if (*p == 'n') shut(s, "now\n", PP_CLOSE_NOW);
  if (*p == 'k') host->wake(s, 1);
  if (*p == 't') host->timer_set(s, 1, 1000000, 0);
  if (*p == 'w') {
    for (int i = 0; i < 1000 && host->write(s, &slice, 1, 0) == PP_OK; i++) continue;
    test_log(s, "svc above high");
  }
  return *p == 'e' ? PP_E_FAIL : (int64_t)n;
}
static pp_status on_wake(void *self, void *st, pp_id s, uint64_t bits) {
  return (void)self, (void)st, (void)bits, shut(s, "wake\n", PP_CLOSE_FLUSH);
}
static pp_status on_timer(void *self, void *st, pp_id s, uint32_t key) {
  return (void)self, (void)st, (void)key, shut(s, "timer\n", PP_CLOSE_FLUSH);
}
static pp_status on_writable(void *self, void *st, pp_id s) {
  return (void)self, (void)st, shut(s, "writable\n", PP_CLOSE_FLUSH);
}
static pp_status on_drain(void *self, void *st, pp_id s, pp_nanos deadline) {
  return (void)self, (void)st, (void)deadline, shut(s, "drain\n", PP_CLOSE_FLUSH);
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  char text[64];
  (void)self, (void)st;
  host->close(s, PP_CLOSE_NOW, NULL);
  snprintf(text, sizeof text, "svc closed reason %u", reason);
  test_log(s, text);
  return PP_OK;
}
static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .open = open_, .on_data = on_data, .on_writable = on_writable, .on_wake = on_wake,
    .on_timer = on_timer, .on_drain = on_drain, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "closes", .create = create,
                                   .destroy = destroy, .stream = &stream};
TEST_PLUGIN(handler)
