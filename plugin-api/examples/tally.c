/* tally.c - the reply to `add 5` is `v1 #3 sum 12`: the version of the code, the lines of this connection, the sum of its
 * numbers. Connections migrate to new code with their counts. For version 2 of the code add -DVERSION=2.
 * cc -shared -fPIC -fvisibility=hidden -I../include -o libpolyport_tally.so tally.c */
#include <polyport/polyport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 1
#endif
#define STATE_VERSION (VERSION < 2 ? 1 : 2) /* version 2 of the code adds `largest` */
#define TEXT_OF(X) #X
#define TEXT(X) TEXT_OF(X)

static const pp_host *host;

/* A connection. Its exported state is text: "LINES SUM" in version 1, "LINES SUM LARGEST" in version 2. */
struct count { long lines, sum, largest; };

static pp_status open(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s, (void)info;
  return *st = calloc(1, sizeof(struct count)), *st ? PP_OK : PP_E_FULL;
}

/* Only complete lines are consumed. The host keeps a partial line, and moves it with the connection. */
static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  struct count *it = st;
  const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
  char text[128] = "";
  (void)self, (void)flags;
  if (n == 0) return host->close(s, PP_CLOSE_FLUSH, NULL); /* the peer has ended */
  if (!end) return *want = n + 1, 0;
  size_t len = (size_t)(end - p);
  memcpy(text, p, len < sizeof text ? len : sizeof text - 1);
  long number = strncmp(text, "add ", 4) == 0 ? strtol(text + 4, NULL, 10) : 0;
  it->lines++, it->sum = (long)((unsigned long)it->sum + (unsigned long)number);
  if (number > it->largest) it->largest = number;
  int wrote = snprintf(text, sizeof text, "v%d #%ld sum %ld", VERSION, it->lines, it->sum);
  if (VERSION >= 2) wrote += snprintf(text + wrote, sizeof text - (size_t)wrote, " largest %ld", it->largest);
  pp_slice reply[] = {{text, (size_t)wrote}, {"\n", 1}};
  pp_status status = host->write(s, reply, 2, 0);
  return status < 0 ? status : (int64_t)len + 1;
}

/* Read-only: the connection stays here if the other side refuses it; else closed() with PP_END_MIGRATED follows. */
static pp_status export_state(void *self, void *st, pp_id s, pp_sink *out) {
  struct count *it = st;
  char text[80];
  (void)self, (void)s;
  int n = snprintf(text, sizeof text, "%ld %ld", it->lines, it->sum);
  if (STATE_VERSION >= 2) n += snprintf(text + n, sizeof text - (size_t)n, " %ld", it->largest);
  return out->write(out, text, (size_t)n) < 0 ? PP_E_FAIL : PP_OK;
}

static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in, void **st) {
  struct count got = {0, 0, 0}, *it;
  char text[80] = "";
  size_t len = 0;
  (void)self, (void)s, (void)info;
  for (int64_t n; (n = in->read(in, text + len, sizeof text - 1 - len)) != 0; len += (size_t)n)
    if (n < 0) return PP_E_FAIL;
  if (sscanf(text, "%ld %ld %ld", &got.lines, &got.sum, &got.largest) != (int)version + 1) return PP_E_INVAL;
  if (!(it = malloc(sizeof *it))) return PP_E_FULL;
  return *it = got, *st = it, PP_OK;
}

static pp_status closed(void *self, void *st, pp_id s, uint32_t reason) {
  (void)self, (void)s, (void)reason;
  return free(st), PP_OK;
}

static pp_status init(const pp_host *h) { return host = h, PP_OK; }

static const pp_stream_ops stream = {.struct_size = sizeof stream, .open = open, .on_data = on_data,
                                     .export_state = export_state, .import_state = import_state, .closed = closed};
static const pp_handler tally = {.struct_size = sizeof tally, .id = "tally", .summary = "adds up the numbers of a connection",
                                 .state_version = STATE_VERSION, .state_min_version = 1, .stream = &stream};
static const pp_handler *const handlers[] = {&tally};
static const pp_plugin plugin = {
    .struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,
    .host_size_required = sizeof(pp_host), .id = "org.polyport.example.tally", .version = TEXT(VERSION),
    .license = "MIT OR Apache-2.0", .handlers = handlers, .n_handlers = 1, .init = init};

PP_PLUGIN_NOTE("org.polyport.example.tally", TEXT(VERSION), sizeof(pp_host), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
