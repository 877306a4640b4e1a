/* ctor_slow.c - its constructor takes its time. */
#include "plugin.h"
#include <unistd.h>
__attribute__((constructor)) static void sleep_a_little(void) { usleep(700 * 1000); }
TEST_ECHO(handler)
TEST_PLUGIN(handler)
