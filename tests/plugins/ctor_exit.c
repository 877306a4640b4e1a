/* ctor_exit.c - its constructor ends the process with success. */
#include "plugin.h"
__attribute__((constructor)) static void leave(void) { exit(0); }
TEST_ECHO(handler)
TEST_PLUGIN(handler)
