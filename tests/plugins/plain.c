/* plain.c - a plugin without a fault. */
#include "plugin.h"
TEST_ECHO(plain)
TEST_PLUGIN(plain)
