/* init_fail.c - init refuses, and says why in the log. */
#include "zoo.h"
ZOO_ECHO(handler)
static pp_status init(const pp_host *h) {
  host = h;
  pp_slice why = {"the moon is not full", 20};
  h->log(0, PP_LOG_ERROR, &why, NULL, 0);
  return PP_E_FAIL;
}
ZOO_PLUGIN_INIT(handler, init)
