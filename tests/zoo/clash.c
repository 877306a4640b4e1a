/* clash.c - two plugins are built from this, with the same global names and a different VALUE. */
#include "zoo.h"
#define GLOBAL __attribute__((visibility("default")))

GLOBAL int zoo_value = VALUE;
GLOBAL int zoo_helper(void) { return zoo_value; }

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  char text[32];
  (void)self, (void)st, (void)p, (void)flags, (void)want;
  snprintf(text, sizeof text, "value %d of %d\n", zoo_helper(), VALUE);
  if (n) zoo_say(s, text);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = ZOO_NAME, .summary = "clash", .stream = &stream};
ZOO_PLUGIN(handler)
