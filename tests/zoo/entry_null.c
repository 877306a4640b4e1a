/* entry_null.c - the entry returns nothing. */
#include "zoo.h"
PP_PLUGIN_NOTE(ZOO_ID, "1.0", sizeof(pp_host), 0)
const pp_plugin *polyport_plugin_v1(void) { return NULL; }
