/* ctor_hang.c - a constructor never returns. */
#include "zoo.h"
#include <unistd.h>
__attribute__((constructor)) static void hang(void) {
  for (;;) pause();
}
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
