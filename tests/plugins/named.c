/* named.c - each instance answers with the number in its configuration, and has a count of its own. With -DACCEPTS it takes a new
 * configuration while it serves, with -DREFUSES it refuses one; without either the host makes a new instance. */
#include "plugin.h"

struct named { long number, asked; };

static pp_status validate(const pp_slice *json, pp_report *r) {
  if (!test_config_is(json, "mood", "bad")) return PP_OK;
  return test_report(r, "/mood", "a bad mood is not allowed here"), PP_E_INVAL;
}
static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  struct named *it = calloc(1, sizeof *it);
  (void)instance, (void)r;
  it->number = test_number(json, "number");
  return *self = it, PP_OK;
}
#if defined ACCEPTS || defined REFUSES
static pp_status reconfigure(void *self, const pp_slice *json, pp_report *r) {
  struct named *it = self;
#ifdef REFUSES
  (void)it, (void)json;
  return test_report(r, "/number", "the number is as it is"), PP_E_INVAL;
#else
  (void)r;
  return __atomic_store_n(&it->number, test_number(json, "number"), __ATOMIC_RELAXED), PP_OK;
#endif
}
#define RECONFIGURE reconfigure
#else
#define RECONFIGURE NULL /* as PP_E_UNSUPPORTED */
#endif
static pp_status destroy(void *self) { return free(self), PP_OK; }

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct named *it = self;
  char text[64];
  (void)st, (void)p, (void)flags, (void)want;
  if (n == 0) return 0;
  snprintf(text, sizeof text, "number %ld asked %ld\n", __atomic_load_n(&it->number, __ATOMIC_RELAXED),
           __atomic_add_fetch(&it->asked, 1, __ATOMIC_RELAXED));
  test_write(s, text);
  return (int64_t)n;
}
static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "named", .validate = validate,
                                   .create = create,
                                   .reconfigure = RECONFIGURE, .destroy = destroy, .stream = &stream};
TEST_PLUGIN(handler)
