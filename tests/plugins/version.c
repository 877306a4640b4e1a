/* version.c - answers input with the VERSION that it was built with. */
#ifndef VERSION
#define VERSION "1"
#endif
#include "plugin.h"

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  (void)self, (void)st, (void)p, (void)flags, (void)want;
  if (n) test_write(s, "version " VERSION "\n");
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "version", .stream = &stream};
TEST_PLUGIN(handler)
