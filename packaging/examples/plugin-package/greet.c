/* greet.c - a plugin to make packages of: each line is greeted, by the version of the code that does it. */
#include <polyport/polyport.h>
#include <string.h>

#ifndef VERSION
#define VERSION "1.0"
#endif

static const pp_host *host;

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
  (void)self, (void)st, (void)flags;
  if (n == 0) return host->write(s, NULL, 0, PP_WRITE_FIN); /* the peer has ended; so do we */
  if (!end) return *want = n + 1, 0;                        /* not yet a line: call again with more */
  pp_slice reply[] = {{"greet " VERSION ": hello, ", sizeof "greet " VERSION ": hello, " - 1}, {p, (size_t)(end - p) + 1}};
  pp_status status = host->write(s, reply, 2, 0);
  return status < 0 ? status : (int64_t)(end - p) + 1;
}
static pp_status init(const pp_host *h) { return host = h, PP_OK; }

static const pp_stream_ops stream = {.struct_size = sizeof stream, .on_data = on_data};
static const pp_handler greet = {.struct_size = sizeof greet, .id = "greet", .summary = "greets each line", .stream = &stream};
static const pp_handler *const handlers[] = {&greet};
static const pp_plugin plugin = {
    .struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,
    .host_size_required = PP_END_OF(pp_host, write), .id = "org.example.greet", .version = VERSION,
    .license = "MIT", .handlers = handlers, .n_handlers = 1, .init = init};

PP_PLUGIN_NOTE("org.example.greet", VERSION, PP_END_OF(pp_host, write), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
