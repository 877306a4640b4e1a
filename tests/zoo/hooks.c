/* hooks.c - an echo whose hooks do as the configuration says: {"HOOK": "fail"}, or "hang" (does not return), "slow"
 * (takes 2 s), "tardy" (takes 1 s and fails), "later" (ends by complete after 200 ms), "never" (says that it will, and does not),
 * "waits" (until the file {"gate": PATH} is there). Or as -DFAULT says, whatever the configuration is. With -DFINI it
 * says when its fini is called. */
#ifdef FINI
#define ZOO_FINI fini
#endif
#include "zoo.h"
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
  snprintf(text, sizeof text, "zoo %s", hook);
  zoo_log(who, text);
  if (zoo_says(&slice, hook, "waits") && zoo_text(&slice, "gate", gate, sizeof gate)) zoo_wait(gate);
  if (zoo_fault(hook) < 0) return zoo_fault(hook);
  if (zoo_says(&slice, hook, "fail")) return PP_E_FAIL;
  if (zoo_says(&slice, hook, "slow")) usleep(2000 * 1000);
  if (zoo_says(&slice, hook, "tardy")) return usleep(1000 * 1000), PP_E_FAIL;
  while (zoo_says(&slice, hook, "hang")) pause();
  if (op && zoo_says(&slice, hook, "never")) return PP_S_PENDING;
  if (op && zoo_says(&slice, hook, "later")) {
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
    zoo_report(r, "", "create has no wish to");
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
  if (status < 0) zoo_report(r, "", "this state is of no use");
  return status;
}
static pp_status stop(void *self, pp_id op) { return act(IT->json, IT->instance, "stop", op); }
static pp_status destroy(void *self) {
  if (self == NULL) return zoo_log(0, "zoo destroy of nothing"), PP_OK;
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
    .struct_size = sizeof handler, .id = ZOO_NAME, .summary = "hooks", .state_version = 1, .state_min_version = 1,
    .create = create, .restore_state = restore_state, .start = start, .drain = drain, .save_state = save_state,
    .stop = stop, .destroy = destroy, .stream = &stream};
#ifdef FINI
static pp_status fini(void) { return zoo_log(0, "zoo fini"), PP_OK; }
#endif
ZOO_PLUGIN(handler)
