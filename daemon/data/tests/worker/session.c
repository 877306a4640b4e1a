/* session.c - answers each line with its version and the number of lines that the stream has had; hands the number
 * on. After a line that begins with d it dials the address that it is at, with t it sets a timer to 200 ms, with u it
 * dials a datagram socket. After one with z it is a fault to call it, but for the end of what it has. Macros are its
 * other faults and its answers. */
#include <polyport/polyport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 1
#endif
#ifndef NAME
#define NAME "session"
#endif
#ifndef EXPORT
#define EXPORT
#endif
#ifndef IMPORT
#define IMPORT
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

static const pp_host *host;
static int is_over;

#define CALLED \
  if (is_over) return PP_E_PANIC

static pp_status init(const pp_host *h) { return host = h, PP_OK; }

struct state {
  uint32_t lines;
  pp_addr at;
};

static pp_status say(pp_id s, const char *text, size_t n) {
  pp_slice v = {text, n};
  return host->write(s, &v, 1, 0);
}

static pp_status open(void *self, pp_id s, const pp_stream_info *info, void **st) {
  struct state *state = *st = calloc(1, sizeof *state);
  (void)self, (void)s;
  CALLED;
  if (!state) return PP_E_FAIL;
  state->at = info->local;
#ifdef DIAL_PORT
  state->at.port = DIAL_PORT;
#endif
  if (info->flags & PP_INFO_OUTBOUND) say(info->parent, "dialled\n", 8);
  return PP_OK;
}

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct state *state = st;
  pp_dial dial = {.struct_size = sizeof dial, .kind = PP_DIAL_STREAM, .addr = state->at};
  char line[64];
  const uint8_t *end = memchr(p, '\n', n);
  (void)self;
  CALLED;
  if (!end && flags & PP_DATA_FIN) return host->write(s, NULL, 0, PP_WRITE_FIN) < 0 ? PP_E_FAIL : (int64_t)n;
  if (!end) {
    *want = n + 1;
    return 0;
  }
  say(s, line, (size_t)snprintf(line, sizeof line, "%d %u\n", VERSION, ++state->lines));
  if (*p == 't') host->timer_set(s, 7, 200000000ull, 0);
  if (*p == 'u') dial.kind = PP_DIAL_DATAGRAM;
  is_over = *p == 'z';
  if ((*p == 'd' || *p == 'u') && host->dial(s, &dial) < 0) return PP_E_FAIL;
  return end - p + 1;
}

static pp_status export_state(void *self, void *st, pp_id s, pp_sink *out) {
  (void)self, (void)s;
  EXPORT;
  return out->write(out, st, sizeof(uint32_t)) < 0 ? PP_E_FAIL : PP_OK;
}

static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                              void **st) {
  (void)version;
  IMPORT;
  if (open(self, s, info, st) < 0) return PP_E_FAIL;
  if (in->read(in, *st, sizeof(uint32_t)) == sizeof(uint32_t)) return PP_OK;
  free(*st);
  return PP_E_INVAL;
}

static pp_status on_timer(void *self, void *st, pp_id s, uint32_t key) {
  (void)self, (void)st, (void)key;
  CALLED;
  return say(s, "tick\n", 5);
}

static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  free(st);
  return PP_OK;
}

#ifdef GOODBYE
static pp_status on_drain(void *self, void *st, pp_id s, pp_nanos deadline) {
  (void)self, (void)st, (void)deadline;
  CALLED;
  return say(s, "bye\n", 4);
}
#endif

static pp_status on_wake(void *self, void *st, pp_id s, uint64_t bits) {
  (void)self, (void)st, (void)bits;
  CALLED;
  return say(s, "woken\n", 6);
}

static pp_status on_dial_failed(void *self, void *st, pp_id s, uint64_t tag, pp_status why) {
  (void)self, (void)st, (void)tag, (void)why;
  CALLED;
  return say(s, "failed\n", 7);
}

static pp_status socket_open(void *self, pp_id sock, const pp_socket_info *info, void **st) {
  (void)self, (void)sock, (void)st;
  CALLED;
  return say(info->parent, "opened\n", 7);
}

static const pp_socket_ops sock = {.struct_size = sizeof sock, .socket_open = socket_open};
static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .open = open, .on_data = on_data, .export_state = export_state,
    .import_state = import_state, .on_timer = on_timer, .on_wake = on_wake, .on_dial_failed = on_dial_failed, .closed = closed,
#ifdef GOODBYE
    .on_drain = on_drain,
#endif
};
static const pp_handler handler = {
    .struct_size = sizeof handler, .flags = FLAGS, .id = NAME, .summary = "counts lines", .state_version = VERSION,
    .state_min_version = 1, .stream = &stream, .socket = &sock};
static const pp_handler *const handlers[] = {&handler};
static const pp_plugin plugin = {
    .struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,
    .host_size_required = PP_END_OF(pp_host, complete), .id = "org.example.session", .version = "1",
    .handlers = handlers, .n_handlers = 1, .init = init};

PP_PLUGIN_NOTE("org.example.session", "1", PP_END_OF(pp_host, complete), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
