/* no_note.c - has the entry, but no note. */
#include "plugin.h"
TEST_ECHO(handler)
static const pp_handler *const handlers[] = {&handler};
static const pp_plugin plugin = {.struct_size = sizeof plugin, .abi_major = PP_ABI_MAJOR, .id = TEST_ID, .version = "1.0",
                                 .handlers = handlers, .n_handlers = 1, .init = test_init};
const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
