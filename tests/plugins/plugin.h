/* plugin.h - what the test plugins share, so that each file holds its own behaviour only. */
#ifndef TEST_H
#define TEST_H

#define _GNU_SOURCE
#include <polyport/polyport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_ID "org.polyport.test." TEST_NAME

static const pp_host *host __attribute__((unused));

__attribute__((unused)) static pp_status test_init(const pp_host *h) { return host = h, PP_OK; }

/* Writes text to a stream. */
__attribute__((unused)) static pp_status test_write(pp_id s, const char *text) {
  pp_slice slice = {text, strlen(text)};
  return host->write(s, &slice, 1, 0);
}

/* Writes text to the log. */
__attribute__((unused)) static void test_log(pp_id who, const char *text) {
  pp_slice slice = {text, strlen(text)};
  host->log(who, PP_LOG_INFO, &slice, NULL, 0);
}

/* Returns whether the configuration has "key":"value"; blanks between the two are ignored. */
__attribute__((unused)) static int test_config_is(const pp_slice *json, const char *key, const char *value) {
  char text[1024], word[128];
  size_t n = 0;
  for (size_t i = 0; i < json->len && n + 1 < sizeof text; i++)
    if (((const char *)json->ptr)[i] != ' ') text[n++] = ((const char *)json->ptr)[i];
  text[n] = 0;
  snprintf(word, sizeof word, "\"%s\":\"%s\"", key, value);
  return strstr(text, word) != NULL;
}

/* Returns the number of a key in the configuration, or 0. */
__attribute__((unused)) static long test_number(const pp_slice *json, const char *key) {
  char text[1024], word[128];
  size_t n = json->len < sizeof text - 1 ? json->len : sizeof text - 1;
  memcpy(text, json->ptr, n);
  text[n] = 0;
  snprintf(word, sizeof word, "\"%s\":", key);
  const char *found = strstr(text, word);
  return found ? strtol(found + strlen(word), NULL, 10) : 0;
}

/* Copies the text of a key in the configuration into a buffer; returns 0 if there is none. */
__attribute__((unused)) static int test_text(const pp_slice *json, const char *key, char *into, size_t room) {
  char text[1024], word[128];
  size_t n = json->len < sizeof text - 1 ? json->len : sizeof text - 1;
  memcpy(text, json->ptr, n);
  text[n] = 0;
  snprintf(word, sizeof word, "\"%s\":\"", key);
  const char *found = strstr(text, word);
  const char *end = found ? strchr(found + strlen(word), '"') : NULL;
  if (end == NULL) return 0;
  snprintf(into, room, "%.*s", (int)(end - found - (long)strlen(word)), found + strlen(word));
  return 1;
}

/* Returns when a file of this name exists: a hook that takes as long as its test wants. */
__attribute__((unused)) static void test_wait(const char *gate) {
  while (access(gate, F_OK) != 0) usleep(1000);
}

/* The version in the answers; each version is a build of its own. */
#ifndef VERSION
#define VERSION 1
#endif

/* The fault that a build has, "HOOK:HOW": fail, panic (as if one had been caught), hang (does not return). */
#ifndef FAULT
#define FAULT ""
#endif
__attribute__((unused)) static int test_has_fault(const char *hook, const char *how) {
  size_t n = strlen(hook);
  return strncmp(FAULT, hook, n) == 0 && FAULT[n] == ':' && strcmp(FAULT + n + 1, how) == 0;
}
__attribute__((unused)) static pp_status test_fault(const char *hook) {
  while (test_has_fault(hook, "hang")) pause();
  return test_has_fault(hook, "fail") ? PP_E_FAIL : test_has_fault(hook, "panic") ? PP_E_PANIC : PP_OK;
}

/* Puts a finding into a report, and fails. */
__attribute__((unused)) static pp_status test_report(pp_report *r, const char *pointer, const char *message) {
  pp_slice where = {pointer, strlen(pointer)}, what = {message, strlen(message)};
  r->add(r, PP_REPORT_ERROR, &where, &what);
  return PP_E_FAIL;
}

/* Called when no code of a generation runs any more. */
#ifndef TEST_FINI
#define TEST_FINI NULL
#endif

/* A plugin with these handlers. */
#define TEST_PLUGIN_OF(INIT, ...)                                                                        \
  static const pp_handler *const test_handlers[] = {__VA_ARGS__};                                         \
  static const pp_plugin test_plugin = {                                                                  \
      .struct_size = sizeof test_plugin, .abi_major = PP_ABI_MAJOR, .abi_minor = PP_ABI_MINOR,            \
      .host_size_required = sizeof(pp_host), .id = TEST_ID, .version = "1.0", .handlers = test_handlers,   \
      .n_handlers = sizeof test_handlers / sizeof *test_handlers, .init = INIT, .fini = TEST_FINI};         \
  PP_PLUGIN_NOTE(TEST_ID, "1.0", sizeof(pp_host), 0)                                                      \
  const pp_plugin *polyport_plugin_v1(void) { return &test_plugin; }
/* A plugin with the one handler HANDLER. */
#define TEST_PLUGIN_INIT(HANDLER, INIT) TEST_PLUGIN_OF(INIT, &(HANDLER))
#define TEST_PLUGIN(HANDLER) TEST_PLUGIN_INIT(HANDLER, test_init)

/* A handler that echoes. */
#define TEST_ECHO(HANDLER)                                                                               \
  static int64_t test_echo_data(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags, \
                               size_t *want) {                                                           \
    pp_slice back = {p, n};                                                                              \
    (void)self, (void)st, (void)want;                                                                    \
    host->write(s, &back, 1, flags & PP_DATA_FIN ? PP_WRITE_FIN : 0);                                    \
    return (int64_t)n;                                                                                   \
  }                                                                                                      \
  static const pp_stream_ops test_echo = {.struct_size = sizeof test_echo, .on_data = test_echo_data};      \
  static const pp_handler HANDLER = {                                                                    \
      .struct_size = sizeof HANDLER, .id = TEST_NAME, .summary = "sends back what it gets", .stream = &test_echo};

#endif
