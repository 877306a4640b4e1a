/* ctor_hang.c - its constructor never returns. */
#include "plugin.h"
#include <unistd.h>
__attribute__((constructor)) static void hang(void) {
  for (;;) pause();
}
TEST_ECHO(handler)
TEST_PLUGIN(handler)
