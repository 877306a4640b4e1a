/* needs.c - linked with a library (needed.c) that is gone when the plugin is loaded. */
#include "plugin.h"
extern int test_needed(void);
TEST_ECHO(handler)
static pp_status init(const pp_host *h) { return host = h, test_needed(); }
TEST_PLUGIN_INIT(handler, init)
