/* ctor_crash.c - its constructor crashes while the file is loaded. */
#include "plugin.h"
__attribute__((constructor)) static void crash(void) { *(volatile int *)16 = 1; }
TEST_ECHO(handler)
TEST_PLUGIN(handler)
