/* wake.c - eight threads wake every stream that asks for it until stop, each with its own bit. They also wake streams that have
 * closed: those ids must be refused. */
#include "plugin.h"
#include <pthread.h>
#include <unistd.h>

#define THREADS 8
#define STREAMS 1024
static pp_id streams[STREAMS];
static uint32_t streams_used;
static int stopping;
static uint64_t wakes, gone, odd;
static pthread_t threads[THREADS];

static void *run(void *number) {
  uint64_t bit = 1ull << (uintptr_t)number;
  while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
    uint32_t used = __atomic_load_n(&streams_used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < used && i < STREAMS; i++) {
      pp_status status = host->wake(__atomic_load_n(&streams[i], __ATOMIC_ACQUIRE), bit);
      uint64_t *count = status == PP_OK ? &wakes : status == PP_E_GONE || status == PP_E_CLOSING ? &gone : &odd;
      __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    }
    usleep(5000);
  }
  return NULL;
}
static pp_status start(void *self, pp_id op) {
  (void)self, (void)op;
  for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run, (void *)i);
  return PP_OK;
}
static pp_status stop(void *self, pp_id op) {
  char text[128];
  (void)self, (void)op;
  __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  snprintf(text, sizeof text, "svc wakes %llu gone %llu odd %llu", (unsigned long long)wakes, (unsigned long long)gone,
           (unsigned long long)odd);
  test_log(0, text);
  return PP_OK;
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(uint64_t)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  uint32_t at = n ? __atomic_load_n(&streams_used, __ATOMIC_ACQUIRE) : STREAMS;
  (void)self, (void)st, (void)p, (void)want;
  if (at < STREAMS) {
    __atomic_store_n(&streams[at], s, __ATOMIC_RELEASE);
    __atomic_store_n(&streams_used, at + 1, __ATOMIC_RELEASE);
  }
  if (flags & PP_DATA_FIN) host->write(s, NULL, 0, PP_WRITE_FIN); /* so that its id becomes stale */
  return (int64_t)n;
}
static pp_status on_wake(void *self, void *st, pp_id s, uint64_t bits) {
  uint64_t *seen = st;
  (void)self;
  if (*seen == 255) return PP_OK;
  *seen |= bits;
  return *seen == 255 ? test_write(s, "all eight\n") : PP_OK;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data,
                                     .on_wake = on_wake, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "wake", .start = start,
                                   .stop = stop, .stream = &stream};
TEST_PLUGIN(handler)
