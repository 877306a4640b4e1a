/* host_too_small.c - needs functions of the host that this version does not have. */
#include "plugin.h"
TEST_ECHO(handler)
static const pp_handler *const handlers[] = {&handler};
static const pp_plugin plugin = {.struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = 7,
                                 .host_size_required = sizeof(pp_host) + 64, .id = TEST_ID, .version = "1.0",
                                 .handlers = handlers, .n_handlers = 1, .init = test_init};
PP_PLUGIN_NOTE(TEST_ID, "1.0", sizeof(pp_host) + 64, 0)
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
