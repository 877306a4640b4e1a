/* frames.c - frames with a big-endian length of four bytes in front. It asks for exactly the bytes it needs, and answers each
 * frame with its length and the number of calls for it. */
#include "plugin.h"

static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(unsigned)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  unsigned *calls = st;
  char text[64];
  (void)self, (void)flags;
  ++*calls;
  if (n < 4) return *want = 4, 0;
  size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
  if (n < 4 + length) return *want = 4 + length, 0;
  snprintf(text, sizeof text, "length %zu calls %u\n", length, *calls);
  test_write(s, text);
  *calls = 0;
  return (int64_t)(4 + length);
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "frames", .stream = &stream};
TEST_PLUGIN(handler)
