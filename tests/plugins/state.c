/* state.c - counts requests, and keeps the count over a restart and a reload. With -DSTAMPED the answer has the VERSION before the
 * count; with -DLINGERS the drain completes when the file {"gate": PATH} exists. */
#include "plugin.h"

#ifndef STATE_VERSION
#define STATE_VERSION 1
#endif
#ifndef STATE_MIN_VERSION
#define STATE_MIN_VERSION 1
#endif

static char gate[256];

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  (void)instance, (void)r;
  test_text(json, "gate", gate, sizeof gate);
  return *self = calloc(1, sizeof(uint64_t)), PP_OK;
}
#ifdef LINGERS
static pp_status drain(void *self, pp_id op, pp_nanos deadline) {
  (void)self, (void)op, (void)deadline;
  return test_wait(gate), PP_OK;
}
#define DRAIN drain
#else
#define DRAIN NULL
#endif
static pp_status destroy(void *self) { return free(self), PP_OK; }
static pp_status save_state(void *self, pp_id op, pp_sink *out) {
  (void)op;
  if (test_fault("save_state") < 0) return test_fault("save_state");
  return out->write(out, self, sizeof(uint64_t)) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status restore_state(void *self, uint32_t version, pp_source *in, pp_report *r) {
  (void)version;
  if (test_fault("restore_state") < 0) return test_report(r, "", "this state is of no use");
  return in->read(in, self, sizeof(uint64_t)) == sizeof(uint64_t) ? PP_OK : PP_E_FAIL;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  char text[32];
  (void)st, (void)p, (void)flags, (void)want;
  if (n == 0) return 0;
#ifdef STAMPED
  snprintf(text, sizeof text, "v%d ", VERSION);
  test_write(s, text);
#endif
  snprintf(text, sizeof text, "%llu\n", (unsigned long long)__atomic_add_fetch((uint64_t *)self, 1, __ATOMIC_RELAXED));
  test_write(s, text);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {
    .struct_size = sizeof handler, .id = TEST_NAME, .summary = "state", .state_version = STATE_VERSION,
    .state_min_version = STATE_MIN_VERSION, .create = create, .restore_state = restore_state,
    .drain = DRAIN, .save_state = save_state, .destroy = destroy, .stream = &stream};
TEST_PLUGIN(handler)
