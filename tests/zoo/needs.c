/* needs.c - linked with a library (see needed.c) that is gone when the plugin is loaded. */
#include "zoo.h"
extern int zoo_needed(void);
ZOO_ECHO(handler)
static pp_status init(const pp_host *h) { return host = h, zoo_needed(); }
ZOO_PLUGIN_INIT(handler, init)
