/* misuse.c - calls the host with stale and foreign ids and from wrong contexts, and writes the results. */
#include "plugin.h"
#include <pthread.h>

static pp_id stale, mine;
static pp_status from_thread;

static void *elsewhere(void *unused) {
  from_thread = test_write(mine, "a foreign thread cannot write\n");
  return unused;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  char text[256];
  uint64_t *cell = NULL;
  pthread_t thread;
  (void)self, (void)st, (void)flags, (void)want;
  if (n && *p == 'q') host->close(s, PP_CLOSE_FLUSH, NULL);
  if (n == 0 || *p != 'x') return (int64_t)n;
  mine = s;
  pthread_create(&thread, NULL, elsewhere, NULL);
  pthread_join(thread, NULL);
  snprintf(text, sizeof text, "stale %d none %d wild %d wake %d timer %d close %d datagram %d thread %d ctl %d op %d\n",
           test_write(stale, "x"), test_write(0, "x"), test_write(~0ull, "x"), host->wake(stale, 1),
           host->timer_set(stale, 1, 1, 0), host->close(stale, 0, NULL), (int)host->send_datagrams(s, NULL, 0, 0),
           from_thread, host->metric(s, PP_METRIC_COUNTER, "misuse_total", "", NULL, 0, &cell),
           host->complete(12345, PP_OK, NULL));
  test_write(s, text);
  return (int64_t)n;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)st, (void)reason;
  return stale = s, PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "misuse", .stream = &stream};
TEST_PLUGIN(handler)
