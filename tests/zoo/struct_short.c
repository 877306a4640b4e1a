/* struct_short.c - says that its tables end before what every version has. */
#include "zoo.h"
ZOO_ECHO(handler)
static const pp_handler *const handlers[] = {&handler};
static const pp_plugin plugin = {.struct_size = 8, .abi_major = PP_ABI_MAJOR, .host_size_required = sizeof(pp_host),
                                 .id = ZOO_ID, .version = "1.0", .handlers = handlers, .n_handlers = 1, .init = zoo_init};
PP_PLUGIN_NOTE(ZOO_ID, "1.0", sizeof(pp_host), 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
