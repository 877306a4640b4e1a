/* moves.c - answers each line with "vN #K" and the line, N being the VERSION and K counting the lines of the stream, which
 * can move: -DFAULT="import:fail", "import:panic", "export:fail" and "export:panic" say how that goes wrong. STATE_VERSION and
 * STATE_MIN_VERSION are as in state.c. With -DSTAYS it offers no hand-over; with -DWANTS=N it looks at nothing up to N bytes. */
#include "zoo.h"

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
  if (zoo_fault("export") < 0) return zoo_fault("export");
  return out->write(out, st, sizeof(uint64_t)) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                              void **st) {
  uint64_t n;
  (void)version;
  if (!(info->flags & PP_INFO_MIGRATED)) return zoo_log(s, "zoo: imported without PP_INFO_MIGRATED"), PP_E_INVAL;
  if (zoo_fault("import") < 0) return zoo_fault("import");
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
  snprintf(text, sizeof text, "zoo v%d closed reason %u", VERSION, reason);
  return zoo_log(s, text), free(st), PP_OK;
}
static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .open = open_, .on_data = on_data, .export_state = MOVE(export_state),
    .import_state = MOVE(import_state), .closed = closed};
static const pp_handler handler = {
    .struct_size = sizeof handler, .id = ZOO_NAME, .summary = "moves", .state_version = STATE_VERSION,
    .state_min_version = STATE_MIN_VERSION, .stream = &stream};
ZOO_PLUGIN(handler)
