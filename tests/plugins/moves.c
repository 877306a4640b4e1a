/* moves.c - answers each line with "vN #K" and the line; N is the VERSION, K counts the lines of the stream. The stream can move:
 * -DFAULT="import:fail", "import:panic", "export:fail" and "export:panic" make that go wrong. STATE_VERSION and
 * STATE_MIN_VERSION are as in state.c. With -DSTAYS it has no export; with -DWANTS=N it wants more than N bytes. */
#include "plugin.h"

#ifndef STATE_VERSION
#define STATE_VERSION 1
#endif
#ifndef STATE_MIN_VERSION
#define STATE_MIN_VERSION 1
#endif
#ifndef WANTS
#define WANTS 0
#endif

static pp_status open_(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(uint64_t)), PP_OK;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
  char text[64];
  (void)self, (void)flags;
  if (n == 0) return host->close(s, PP_CLOSE_FLUSH, NULL);
  if (n < (size_t)WANTS + 1) return *want = (size_t)WANTS + 1, 0;
  if (end == NULL) return *want = n + 1, 0;
  snprintf(text, sizeof text, "v%d #%llu ", VERSION, (unsigned long long)++*(uint64_t *)st);
  pp_slice reply[] = {{text, strlen(text)}, {p, (size_t)(end - p) + 1}};
  pp_status status = host->write(s, reply, 2, 0);
  return status < 0 ? status : end - p + 1;
}
#ifndef STAYS
static pp_status export_state(void *self, void *st, pp_id s, pp_sink *out) {
  (void)self, (void)s;
  if (test_fault("export") < 0) return test_fault("export");
  return out->write(out, st, sizeof(uint64_t)) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                              void **st) {
  uint64_t n;
  (void)version;
  if (!(info->flags & PP_INFO_MIGRATED)) return test_log(s, "svc: imported without PP_INFO_MIGRATED"), PP_E_INVAL;
  if (test_fault("import") < 0) return test_fault("import");
  if (in->read(in, &n, sizeof n) != sizeof n) return PP_E_INVAL;
  open_(self, s, info, st);
  return *(uint64_t *)*st = n, PP_OK;
}
#define MOVE(CALLBACK) CALLBACK
#else
#define MOVE(CALLBACK) NULL
#endif
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  char text[64];
  (void)self;
  snprintf(text, sizeof text, "svc v%d closed reason %u", VERSION, reason);
  return test_log(s, text), free(st), PP_OK;
}
static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .open = open_, .on_data = on_data, .export_state = MOVE(export_state),
    .import_state = MOVE(import_state), .closed = closed};
static const pp_handler handler = {
    .struct_size = sizeof handler, .id = TEST_NAME, .summary = "moves", .state_version = STATE_VERSION,
    .state_min_version = STATE_MIN_VERSION, .stream = &stream};
TEST_PLUGIN(handler)
