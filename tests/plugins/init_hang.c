/* init_hang.c - init never returns. */
#include "plugin.h"
#include <unistd.h>
TEST_ECHO(handler)
static pp_status init(const pp_host *h) {
  host = h;
  for (;;) pause();
  return PP_OK;
}
TEST_PLUGIN_INIT(handler, init)
