/* half_close.c - writes nothing until the peer has ended its direction, then writes how many bytes came. */
#include "plugin.h"
static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(size_t)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  char text[64];
  (void)self, (void)p, (void)want;
  *(size_t *)st += n;
  if (flags & PP_DATA_FIN) {
    snprintf(text, sizeof text, "%zu bytes\n", *(size_t *)st);
    test_write(s, text);
    host->close(s, PP_CLOSE_FLUSH, NULL);
  }
  return (int64_t)n;
}
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open_, .on_data = on_data, .closed = closed};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "half_close", .stream = &stream};
TEST_PLUGIN(handler)
