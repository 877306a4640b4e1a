/* ctor_exit.c - a constructor ends the process, as if all were well. */
#include "zoo.h"
__attribute__((constructor)) static void leave(void) { exit(0); }
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
