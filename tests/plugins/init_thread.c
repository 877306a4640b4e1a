/* init_thread.c - init starts a thread that runs for ever, and returns RESULT: the code must stay mapped. */
#include "plugin.h"
#include <pthread.h>
#include <unistd.h>

#ifndef RESULT
#define RESULT PP_OK
#endif

static void *run(void *unused) {
  for (;;) host->now(), usleep(1000);
  return unused;
}
TEST_ECHO(handler)
static pp_status init(const pp_host *h) {
  pthread_t thread;
  host = h;
  pthread_create(&thread, NULL, run, NULL);
  return RESULT;
}
TEST_PLUGIN_INIT(handler, init)
