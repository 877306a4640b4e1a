/* entry_null.c - the entry returns NULL. */
#include "plugin.h"
PP_PLUGIN_NOTE(TEST_ID, "1.0", sizeof(pp_host), 0)
const pp_plugin *polyport_plugin_v1(void) { return NULL; }
