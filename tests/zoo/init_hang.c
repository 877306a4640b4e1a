/* init_hang.c - init never returns. */
#include "zoo.h"
#include <unistd.h>
ZOO_ECHO(handler)
static pp_status init(const pp_host *h) {
  host = h;
  for (;;) pause();
  return PP_OK;
}
ZOO_PLUGIN_INIT(handler, init)
