/* exclusive.c - state that may live in one generation only: from start to freeze or stop the instance holds a lock on the file
 * {"lock": PATH}, and logs when another instance holds it. It answers input with "vN K"; K counts over restarts and
 * reloads. It logs callbacks while it is frozen. -DFAULT names a hook that fails, or "freeze:never": freeze never
 * completes. With -DSTAYS its streams cannot move. */
#include "plugin.h"
#include <fcntl.h>
#include <sys/file.h>

struct exclusive { char path[256]; int lock, frozen; uint64_t n; pp_id id; };

static pp_status take(struct exclusive *it) {
  it->lock = open(it->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (it->lock >= 0 && flock(it->lock, LOCK_EX | LOCK_NB) == 0) return PP_OK;
  test_log(it->id, "svc: two hold the lock");
  return PP_E_DENIED;
}
static void give(struct exclusive *it) {
  if (it->lock >= 0) close(it->lock);
  it->lock = -1;
}
static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  struct exclusive *it = calloc(1, sizeof *it);
  it->lock = -1, it->id = instance, *self = it;
  if (test_text(json, "lock", it->path, sizeof it->path) && test_fault("create") == PP_OK) return PP_OK;
  return *self = NULL, free(it), test_report(r, "/lock", "there is nothing to lock");
}
static pp_status restore_state(void *self, uint32_t version, pp_source *in, pp_report *r) {
  (void)version;
  if (test_fault("restore_state") < 0) return test_report(r, "", "this state is of no use");
  return in->read(in, &((struct exclusive *)self)->n, sizeof(uint64_t)) == sizeof(uint64_t) ? PP_OK : PP_E_FAIL;
}
static pp_status start(void *self, pp_id op) {
  (void)op;
  return test_fault("start") < 0 ? test_fault("start") : take(self);
}
static pp_status save_state(void *self, pp_id op, pp_sink *out) {
  (void)op;
  if (test_fault("save_state") < 0) return test_fault("save_state");
  return out->write(out, &((struct exclusive *)self)->n, sizeof(uint64_t)) < 0 ? PP_E_FAIL : PP_OK;
}
static pp_status freeze(void *self, pp_id op) {
  struct exclusive *it = self;
  (void)op;
  if (test_fault("freeze") < 0) return test_fault("freeze");
  __atomic_store_n(&it->frozen, 1, __ATOMIC_RELEASE);
  return give(it), test_log(it->id, "svc frozen"), test_has_fault("freeze", "never") ? PP_S_PENDING : PP_OK;
}
static pp_status thaw(void *self, pp_id op) {
  struct exclusive *it = self;
  (void)op;
  if (test_fault("thaw") < 0) return test_fault("thaw");
  __atomic_store_n(&it->frozen, 0, __ATOMIC_RELEASE);
  return test_log(it->id, "svc thawed"), take(it);
}
static pp_status stop(void *self, pp_id op) { return (void)op, give(self), PP_OK; }
static pp_status destroy(void *self) { return free(self), PP_OK; }

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct exclusive *it = self;
  char text[64];
  (void)st, (void)p, (void)flags, (void)want;
  if (__atomic_load_n(&it->frozen, __ATOMIC_ACQUIRE)) test_log(s, "svc: called while frozen");
  if (n == 0) return host->close(s, PP_CLOSE_FLUSH, NULL);
  uint64_t count = __atomic_add_fetch(&it->n, 1, __ATOMIC_RELAXED);
  snprintf(text, sizeof text, "v%d %llu\n", VERSION, (unsigned long long)count);
  return test_write(s, text), (int64_t)n;
}
#ifdef STAYS
static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  char text[64];
  (void)self, (void)st;
  snprintf(text, sizeof text, "svc v%d closed reason %u", VERSION, reason);
  return test_log(s, text), PP_OK;
}
#define CLOSED closed
#else
#define CLOSED NULL
#endif
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data, .closed = CLOSED};
static const pp_handler handler = {
    .struct_size = sizeof handler, .flags = PP_HF_EXCLUSIVE, .id = TEST_NAME, .summary = "exclusive", .state_version = 1,
    .state_min_version = 1, .create = create, .restore_state = restore_state, .start = start, .save_state = save_state,
    .stop = stop, .destroy = destroy, .freeze = freeze, .thaw = thaw, .stream = &stream};
TEST_PLUGIN(handler)
