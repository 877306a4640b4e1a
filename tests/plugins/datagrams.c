/* datagrams.c - answers each datagram with its length, "empty" with an empty datagram and "burst" with 100. "bounce PORT" sends to a
 * port of 127.0.0.1 that nobody listens on. Built with WANT_TRUNCATED, it asks for truncated datagrams. */
#include "plugin.h"

static void reply(pp_id sock, pp_id peer, const char *text) {
  pp_out out = {.data = {text, strlen(text)}, .peer = peer};
  host->send_datagrams(sock, &out, 1, sizeof out);
}
static void one(pp_id sock, const pp_datagram *d) {
  char text[64] = "";
  memcpy(text, d->ptr ? d->ptr : "", d->len < 63 ? d->len : 63);
  if (strcmp(text, "empty") == 0) {
    reply(sock, d->peer, "");
  } else if (strcmp(text, "burst") == 0) {
    for (int i = 0; i < 100; i++) snprintf(text, sizeof text, "%d", i), reply(sock, d->peer, text);
  } else if (strncmp(text, "bounce ", 7) == 0) {
    pp_addr to = {.family = PP_FAMILY_V4, .port = (uint16_t)atoi(text + 7), .ip = {127, 0, 0, 1}};
    pp_out out = {.data = {"x", 1}, .to = &to};
    host->send_datagrams(sock, &out, 1, sizeof out);
  } else {
    snprintf(text, sizeof text, "%s%zu", d->flags & PP_DATAGRAM_TRUNCATED ? "truncated " : "", d->len);
    reply(sock, d->peer, text);
  }
}
static pp_status on_datagrams(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n, size_t stride) {
  (void)self, (void)st;
  for (size_t i = 0; i < n; i++) one(sock, (const pp_datagram *)((const char *)v + i * stride));
  return PP_OK;
}
static pp_status on_send_error(void *self, void *st, pp_id sock, const pp_addr *to, int32_t os_errno) {
  char text[64];
  (void)self, (void)st;
  snprintf(text, sizeof text, "svc send error %d to port %u", os_errno, to ? to->port : 0u);
  test_log(sock, text);
  return PP_OK;
}
#ifdef WANT_TRUNCATED
#define FLAGS PP_SF_WANT_TRUNCATED
#else
#define FLAGS 0
#endif
static const pp_socket_ops sock = {.struct_size = sizeof sock, .flags = FLAGS, .on_datagrams = on_datagrams,
                                   .on_send_error = on_send_error};
static const pp_handler handler = {.struct_size = sizeof handler, .id = TEST_NAME, .summary = "datagrams", .socket = &sock};
TEST_PLUGIN(handler)
