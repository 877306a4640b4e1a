/* stuck.c - an echo in which some bytes block the callback: 'B' spins for ever, 'S' sleeps for ever, 'n' sleeps 600 ms. */
#include "plugin.h"
#include <unistd.h>

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  pp_slice back = {p, n};
  (void)self, (void)st, (void)want;
  for (volatile int forever = 1; memchr(p, 'B', n) && forever;) continue;
  while (memchr(p, 'S', n)) pause();
  if (memchr(p, 'n', n)) usleep(600 * 1000);
  host->write(s, &back, 1, flags & PP_DATA_FIN ? PP_WRITE_FIN : 0);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "stuck", .stream = &stream};
TEST_PLUGIN(handler)
