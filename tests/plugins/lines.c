/* lines.c - sends back whole lines; an incomplete line stays with the host until its rest has come. */
#include "plugin.h"

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  const uint8_t *last = n ? memrchr(p, '\n', n) : NULL;
  (void)self, (void)st;
  if (n == 0) return host->close(s, PP_CLOSE_FLUSH, NULL);
  if (last == NULL) return *want = n + 1, 0;
  pp_slice whole = {p, (size_t)(last - p) + 1};
  host->write(s, &whole, 1, flags & PP_DATA_FIN && whole.len == n ? PP_WRITE_FIN : 0);
  return (int64_t)whole.len;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  char text[64];
  (void)self, (void)st;
  snprintf(text, sizeof text, "svc closed reason %u", reason);
  test_log(s, text);
  return PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "lines", .stream = &stream};
TEST_PLUGIN(handler)
