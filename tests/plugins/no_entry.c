/* no_entry.c - has the note, but no entry. */
#include "plugin.h"
PP_PLUGIN_NOTE(TEST_ID, "1.0", sizeof(pp_host), 0)
