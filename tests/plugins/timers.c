/* timers.c - 'p': a periodic timer says "tick" five times, is cancelled, and after 200 ms comes "done";
 * 'c': a timer is set and cancelled, and after 200 ms comes "none"; 'r': one is set twice and comes once. */
#include "plugin.h"
#define MS 1000000ull
enum { PERIODIC = 1, CANCELLED, DONE, NONE, REPLACED };

static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(int)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  (void)self, (void)st, (void)flags, (void)want;
  if (n && *p == 'p') host->timer_set(s, PERIODIC, 10 * MS, 20 * MS);
  if (n && *p == 'c') {
    host->timer_set(s, CANCELLED, 20 * MS, 20 * MS);
    host->timer_cancel(s, CANCELLED);
    host->timer_set(s, NONE, 200 * MS, 0);
  }
  if (n && *p == 'r') {
    host->timer_set(s, REPLACED, 10 * MS, 0);
    host->timer_set(s, REPLACED, 50 * MS, 0);
    host->timer_set(s, NONE, 200 * MS, 0);
  }
  return (int64_t)n;
}
static pp_status on_timer(void *self, void *st, pp_id s, uint32_t key) {
  int *ticks = st;
  (void)self;
  if (key == CANCELLED) return test_write(s, "cancelled, and came all the same\n");
  if (key == REPLACED) return test_write(s, "replaced\n");
  if (key == DONE) return test_write(s, "done\n");
  if (key == NONE) return test_write(s, "none\n");
  test_write(s, "tick\n");
  if (++*ticks == 5) {
    host->timer_cancel(s, PERIODIC);
    host->timer_set(s, DONE, 200 * MS, 0);
  }
  return PP_OK;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data,
                                     .on_timer = on_timer, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "timers", .stream = &stream};
TEST_PLUGIN(handler)
