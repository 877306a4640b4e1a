/* flood.c - writes to a peer that does not read until the host refuses, and ignores the watermarks. */
#include "plugin.h"

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  static const char part[65536];
  pp_slice slice = {part, sizeof part};
  char text[64];
  long taken = 0;
  (void)self, (void)st, (void)p, (void)flags, (void)want;
  if (n == 0) return 0;
  while (taken < 100000 && host->write(s, &slice, 1, 0) >= 0) taken++;
  snprintf(text, sizeof text, "svc flood stopped after %ld KiB", taken * 64);
  test_log(s, text);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "flood", .stream = &stream};
TEST_PLUGIN(handler)
