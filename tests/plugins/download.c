/* download.c - "GET n\n" is answered with n bytes of a pattern, written as fast as the peer reads. An incomplete request stays
 * with the host. With WITH_DRAIN the plugin takes part in the drain: an idle stream writes "bye\n" and closes. */
#include "plugin.h"

struct download { uint64_t at, end; int draining; };

static uint8_t pattern(uint64_t at) { return (uint8_t)((at * 0x9e3779b97f4a7c15ull) >> 56); }

static void pump(struct download *it, pp_id s) {
  uint8_t part[16384];
  while (it->at < it->end) {
    size_t n = it->end - it->at < sizeof part ? (size_t)(it->end - it->at) : sizeof part;
    for (size_t i = 0; i < n; i++) part[i] = pattern(it->at + i);
    pp_slice slice = {part, n};
    pp_status status = host->write(s, &slice, 1, 0);
    if (status < 0) return;
    it->at += n;
    if (status == PP_S_ABOVE_HIGH) return;
  }
  if (it->draining) host->close(s, PP_CLOSE_FLUSH, NULL);
}
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(struct download)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct download *it = st;
  const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
  char text[32] = "";
  (void)self, (void)flags;
  if (end == NULL) return *want = n + 1, 0;
  size_t line = (size_t)(end - p);
  if (line < 5 || line >= sizeof text || memcmp(p, "GET ", 4) != 0) return PP_E_INVAL;
  memcpy(text, p + 4, line - 4);
  it->at = 0, it->end = strtoull(text, NULL, 10);
  pump(it, s);
  return (int64_t)line + 1;
}
static pp_status on_writable(void *self, void *st, pp_id s) { return (void)self, pump(st, s), PP_OK; }
#ifdef WITH_DRAIN
static pp_status on_drain(void *self, void *st, pp_id s, pp_nanos deadline) {
  struct download *it = st;
  (void)self, (void)deadline;
  it->draining = 1;
  if (it->at < it->end) return PP_OK;
  test_write(s, "bye\n");
  return host->close(s, PP_CLOSE_FLUSH, NULL);
}
#define ON_DRAIN on_drain
#else
#define ON_DRAIN NULL
#endif
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data,
                                     .on_writable = on_writable, .on_drain = ON_DRAIN, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "download", .stream = &stream};
TEST_PLUGIN(handler)
