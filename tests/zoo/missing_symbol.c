/* missing_symbol.c - calls two functions that nobody has. */
#include "zoo.h"
extern int zoo_is_not_there(void);
extern int zoo_is_not_there_either(void);
ZOO_ECHO(handler)
static pp_status init(const pp_host *h) { return host = h, zoo_is_not_there() + zoo_is_not_there_either(); }
ZOO_PLUGIN_INIT(handler, init)
