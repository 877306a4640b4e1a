/* liar.c - claims to have used more bytes than it was given. */
#include "plugin.h"
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  (void)self, (void)st, (void)s, (void)p, (void)flags, (void)want;
  return (int64_t)n + 1000;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "liar", .stream = &stream};
TEST_PLUGIN(handler)
