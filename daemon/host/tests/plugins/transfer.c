/* heirloom.c - counts the bytes of each stream and the datagrams of each flow, and hands the counts on; `want` tells
 * a stream's. Macros are its faults and its answers. */
#include <polyport/polyport.h>
#include <stdlib.h>
#include <string.h>

#ifndef EXPORT
#define EXPORT
#endif
#ifndef IMPORT
#define IMPORT
#endif
#ifndef VERSION
#define VERSION 1
#endif
#ifndef OLDEST
#define OLDEST 1
#endif
#ifndef NAME
#define NAME "heirloom"
#endif
#ifndef PLUGIN
#define PLUGIN "org.example.heirloom"
#endif

static const pp_host *host;

static pp_status init(const pp_host *h) { return host = h, PP_OK; }

static pp_status begin(void **st) { return (*st = calloc(1, sizeof(uint32_t))) ? PP_OK : PP_E_FAIL; }

static pp_status open(void *self, pp_id s, const pp_stream_info *info, void **st) {
  (void)self, (void)s;
  return info->flags & PP_INFO_MIGRATED ? PP_E_INVAL : begin(st);
}

static int64_t on_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, size_t *want) {
  (void)self, (void)s, (void)p, (void)flags;
  *want = *(uint32_t *)st += (uint32_t)n;
  return (int64_t)n;
}

static pp_status export_state(void *self, void *st, pp_id id, pp_sink *out) {
  (void)self, (void)id;
  EXPORT;
  return out->write(out, st, 1) < 0 || out->write(out, (char *)st + 1, 3) < 0 ? PP_E_FAIL : PP_OK;
}

static pp_status import(uint32_t version, pp_source *in, void **st) {
  uint32_t count;
  char more;
  (void)version;
  IMPORT;
  if (in->read(in, &count, sizeof count) != sizeof count || in->read(in, &more, 1) != 0) return PP_E_INVAL;
  if (begin(st) < 0) return PP_E_FAIL;
  *(uint32_t *)*st = count;
  return PP_OK;
}

static pp_status import_state(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                              void **st) {
  (void)self, (void)s;
  if (info->flags != PP_INFO_MIGRATED || info->struct_size != sizeof *info) return PP_E_UNSUPPORTED;
  return import(version, in, st);
}

static pp_status closed(void *self, void *st, pp_id id, uint32_t reason) {
  (void)self, (void)id;
  free(st);
  return reason == PP_END_MIGRATED || reason == PP_END_DONE ? PP_OK : PP_E_INVAL;
}

static pp_status flow_open(void *self, pp_id flow, const pp_flow_info *info, void **st) {
  (void)self, (void)flow;
  return info->flags & PP_INFO_MIGRATED ? PP_E_INVAL : begin(st);
}

static pp_status on_datagrams(void *self, void *st, pp_id flow, const pp_datagram *v, size_t n, size_t stride) {
  (void)self, (void)flow, (void)v, (void)stride;
  *(uint32_t *)st += (uint32_t)n;
  return PP_OK;
}

static pp_status flow_import(void *self, pp_id flow, const pp_flow_info *info, uint32_t version, pp_source *in,
                             void **st) {
  (void)self, (void)flow;
  if (info->flags != PP_INFO_MIGRATED || !info->socket || info->local.port != 7) return PP_E_UNSUPPORTED;
  return import(version, in, st);
}

#ifdef RECONFIGURE
static pp_status reconfigure(void *self, const pp_slice *json, pp_report *r) {
  pp_slice where = {"/size", 5};
  (void)self;
  r->add(r, PP_REPORT_WARNING, &where, json);
  RECONFIGURE;
}
#endif

#ifdef FREEZE
static pp_status freeze(void *self, pp_id op) {
  (void)self, (void)op;
  FREEZE;
}
static pp_status thaw(void *self, pp_id op) {
  pp_slice why = {"too cold", 8};
  (void)self;
  host->complete(op, PP_E_PANIC, &why);
  return PP_S_PENDING;
}
#endif

static const pp_stream_ops stream = {
    .struct_size = sizeof stream, .on_data = on_data,
#ifndef STATELESS
    .open = open, .export_state = export_state, .import_state = import_state, .closed = closed,
#endif
};
static const pp_flow_ops flow = {
    .struct_size = sizeof flow, .on_datagrams = on_datagrams,
#ifndef STATELESS
    .flow_open = flow_open, .export_state = export_state, .import_state = flow_import, .closed = closed,
#endif
};
static const pp_socket_ops sock = {.struct_size = sizeof sock};
static const pp_handler handler = {
    .struct_size = sizeof handler, .id = NAME, .summary = "counts", .state_version = VERSION,
    .state_min_version = OLDEST, .stream = &stream, .socket = &sock, .flow = &flow,
#ifdef RECONFIGURE
    .reconfigure = reconfigure,
#endif
#ifdef FREEZE
    .flags = PP_HF_EXCLUSIVE, .freeze = freeze, .thaw = thaw,
#endif
};
static const pp_handler *const handlers[] = {&handler};
static const pp_plugin plugin = {
    .struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,
    .host_size_required = PP_END_OF(pp_host, complete), .id = PLUGIN, .version = "1", .handlers = handlers,
    .n_handlers = 1, .init = init};

PP_PLUGIN_NOTE(PLUGIN, "1", PP_END_OF(pp_host, complete), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
