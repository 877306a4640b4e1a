/* init_fail.c - init fails and logs why. */
#include "plugin.h"
TEST_ECHO(handler)
static pp_status init(const pp_host *h) {
  host = h;
  pp_slice why = {"the moon is not full", 20};
  h->log(0, PP_LOG_ERROR, &why, NULL, 0);
  return PP_E_FAIL;
}
TEST_PLUGIN_INIT(handler, init)
