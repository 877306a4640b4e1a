/* missing_symbol.c - calls two functions that no library has. */
#include "plugin.h"
extern int test_is_not_there(void);
extern int test_is_not_there_either(void);
TEST_ECHO(handler)
static pp_status init(const pp_host *h) { return host = h, test_is_not_there() + test_is_not_there_either(); }
TEST_PLUGIN_INIT(handler, init)
