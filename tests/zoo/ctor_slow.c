/* ctor_slow.c - a constructor takes its time. */
#include "zoo.h"
#include <unistd.h>
__attribute__((constructor)) static void sleep_a_little(void) { usleep(700 * 1000); }
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
