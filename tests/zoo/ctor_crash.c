/* ctor_crash.c - a constructor, which runs while the file is being loaded, crashes. */
#include "zoo.h"
__attribute__((constructor)) static void crash(void) { *(volatile int *)16 = 1; }
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
