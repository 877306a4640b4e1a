/* stamp.c - answers each line of a stream and each datagram with "vN " and its text; N is the VERSION. It has no state, so its
 * streams can move. With -DGOODBYE a drained stream writes "bye" and closes; with -DPANICS every request returns
 * PP_E_PANIC; with -DONCE it accepts one socket only; with -DUNHEALTHY its health is bad; with -DWAITS its start
 * completes when the file {"gate": PATH} exists; with -DMORE it has a second handler `more` that does the same. */
#include "plugin.h"

#ifdef PANICS
enum { PANICKED = 1 };
#else
enum { PANICKED = 0 };
#endif
static char stamp[16];
/* Here a test makes other content of a file without a compiler. */
__attribute__((used)) static const char salt[] = "salt 00000000";

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
  (void)self, (void)st, (void)flags;
  if (n == 0) return host->close(s, PP_CLOSE_FLUSH, NULL);
  if (end == NULL) return *want = n + 1, 0;
  size_t len = (size_t)(end - p) + 1;
  pp_slice reply[] = {{stamp, strlen(stamp)}, {p, len}};
  if (PANICKED) return PP_E_PANIC;
  pp_status status = host->write(s, reply, 2, 0);
  return status < 0 ? status : (int64_t)len;
}
static pp_status on_datagrams(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n, size_t stride) {
  (void)self, (void)st;
  for (size_t i = 0; i < n; i++) {
    const pp_datagram *d = (const pp_datagram *)((const char *)v + i * stride);
    char text[2048];
    size_t len = strlen(stamp), most = d->len < sizeof text - len ? d->len : sizeof text - len;
    memcpy(text, stamp, len);
    if (most) memcpy(text + len, d->ptr, most);
    pp_out out = {.data = {text, len + most}, .peer = d->peer};
    host->send_datagrams(sock, &out, 1, sizeof out);
  }
  return PANICKED ? PP_E_PANIC : PP_OK;
}
#ifdef GOODBYE
static pp_status on_drain(void *self, void *st, pp_id s, pp_nanos deadline) {
  (void)self, (void)st, (void)deadline;
  return test_write(s, "bye\n"), host->close(s, PP_CLOSE_FLUSH, NULL);
}
#define ON_DRAIN on_drain
#else
#define ON_DRAIN NULL
#endif
#ifdef UNHEALTHY
static pp_status health(void *self, pp_report *r) { return (void)self, test_report(r, "", "it is not well"); }
#define HEALTH health
#else
#define HEALTH NULL
#endif
#ifdef ONCE
static pp_status socket_open(void *self, pp_id sock, const pp_socket_info *info, void **st) {
  static int opened;
  (void)self, (void)sock, (void)info, (void)st;
  return opened++ ? PP_E_FAIL : PP_OK;
}
#define SOCKET_OPEN socket_open
#else
#define SOCKET_OPEN NULL
#endif
#ifdef WAITS
static pp_status create(pp_id instance, const pp_slice *json, pp_report *r, void **self) {
  (void)instance, (void)r;
  test_text(json, "gate", *self = calloc(1, 256), 256);
  return PP_OK;
}
static pp_status start(void *self, pp_id op) { return (void)op, test_wait(self), PP_OK; }
static pp_status destroy(void *self) { return free(self), PP_OK; }
#define WAIT(HOOK) HOOK
#else
#define WAIT(HOOK) NULL
#endif
static pp_status init(const pp_host *h) { return snprintf(stamp, sizeof stamp, "v%d ", VERSION), test_init(h); }

static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data, .on_drain = ON_DRAIN};
static const pp_socket_ops sock = {.struct_size = sizeof sock, .socket_open = SOCKET_OPEN,
                                   .on_datagrams = on_datagrams};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "stamp",
                                   .create = WAIT(create), .start = WAIT(start), .destroy = WAIT(destroy),
                                   .health = HEALTH, .stream = &stream, .socket = &sock};
#ifdef MORE
static const pp_handler more = {.struct_size = sizeof more, .id = "more", .summary = "stamp, again", .stream = &stream};
TEST_PLUGIN_OF(init, &handler, &more)
#else
TEST_PLUGIN_INIT(handler, init)
#endif
