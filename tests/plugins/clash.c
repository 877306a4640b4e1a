/* clash.c - two plugins are built from this file, with the same global names and different VALUEs. */
#include "plugin.h"
#define GLOBAL __attribute__((visibility("default")))

GLOBAL int test_value = VALUE;
GLOBAL int test_helper(void) { return test_value; }

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  char text[32];
  (void)self, (void)st, (void)p, (void)flags, (void)want;
  snprintf(text, sizeof text, "value %d of %d\n", test_helper(), VALUE);
  if (n) test_write(s, text);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "clash", .stream = &stream};
TEST_PLUGIN(handler)
