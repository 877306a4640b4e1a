/* hooks.c - an echo whose hooks follow the configuration: {"HOOK": "fail"}, "hang" (never returns), "slow" (takes 2 s), "tardy"
 * (takes 1 s and fails), "later" (completes after 200 ms), "never" (pending for ever), "waits" (until the file
 * {"gate": PATH} exists). -DFAULT does the same whatever the configuration is. With -DFINI its fini is logged. */
#ifdef FINI
#define TEST_FINI fini
#endif
#include "plugin.h"
#include <pthread.h>

struct hooks { char json[512]; pp_id instance; };

static void *finish(void *op) {
  usleep(200 * 1000);
  host->complete((pp_id)(uintptr_t)op, PP_OK, NULL);
  return NULL;
}

static pp_status act(const char *json, pp_id who, const char *hook, pp_id op) {
  char text[64], gate[256];
  pp_slice slice = {json, strlen(json)};
  snprintf(text, sizeof text, "svc %s", hook);
  test_log(who, text);
  if (test_config_is(&slice, hook, "waits") && test_text(&slice, "gate", gate, sizeof gate)) test_wait(gate);
  if (test_fault(hook) < 0) return test_fault(hook);
  if (test_config_is(&slice, hook, "fail")) return PP_E_FAIL;
  if (test_config_is(&slice, hook, "slow")) usleep(2000 * 1000);
  if (test_config_is(&slice, hook, "tardy")) return usleep(1000 * 1000), PP_E_FAIL;
  while (test_config_is(&slice, hook, "hang")) pause();
  if (op && test_config_is(&slice, hook, "never")) return PP_S_PENDING;
  if (op && test_config_is(&slice, hook, "later")) {
    pthread_t thread;
    pthread_create(&thread, NULL, finish, (void *)(uintptr_t)op);
    pthread_detach(thread);
    return PP_S_PENDING;
  }
  return PP_OK;
}

static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  struct hooks *it = calloc(1, sizeof *it);
  memcpy(it->json, json->ptr, json->len < sizeof it->json ? json->len : sizeof it->json - 1);
  it->instance = instance;
  *self = it;
  pp_status status = act(it->json, instance, "create", 0);
  if (status < 0) {
    test_report(r, "", "create has no wish to");
    free(it);
    *self = NULL;
  }
  return status;
}
#define IT ((struct hooks *)self)
static pp_status start(void *self, pp_id op) { return act(IT->json, IT->instance, "start", op); }
static pp_status drain(void *self, pp_id op, pp_nanos deadline) {
  (void)deadline;
  return act(IT->json, IT->instance, "drain", op);
}
static pp_status save_state(void *self, pp_id op, pp_sink *out) {
  out->write(out, "state", 5);
  return act(IT->json, IT->instance, "save_state", op);
}
static pp_status restore_state(void *self, uint32_t version, pp_source *in, pp_report *r) {
  char text[16];
  (void)version;
  while (in->read(in, text, sizeof text) > 0) continue;
  pp_status status = act(IT->json, IT->instance, "restore_state", 0);
  if (status < 0) test_report(r, "", "this state is of no use");
  return status;
}
static pp_status stop(void *self, pp_id op) { return act(IT->json, IT->instance, "stop", op); }
static pp_status destroy(void *self) {
  if (self == NULL) return test_log(0, "svc destroy of nothing"), PP_OK;
  pp_status status = act(IT->json, IT->instance, "destroy", 0);
  free(self);
  return status;
}
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  pp_slice back = {p, n};
  (void)self, (void)st, (void)want;
  host->write(s, &back, 1, flags & PP_DATA_FIN ? PP_WRITE_FIN : 0);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {
    .struct_size = sizeof handler, .id = TEST_NAME, .summary = "hooks", .state_version = 1, .state_min_version = 1,
    .create = create, .restore_state = restore_state, .start = start, .drain = drain, .save_state = save_state,
    .stop = stop, .destroy = destroy, .stream = &stream};
#ifdef FINI
static pp_status fini(void) { return test_log(0, "svc fini"), PP_OK; }
#endif
TEST_PLUGIN(handler)
