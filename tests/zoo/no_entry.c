/* no_entry.c - the note is there, the entry is not. */
#include "zoo.h"
PP_PLUGIN_NOTE(ZOO_ID, "1.0", sizeof(pp_host), 0)
