/* envoy_stamp.c - a dynamic module of Envoy 1.40 that answers each line of a connection and each datagram with "vN " and
 * what was sent, N being the VERSION that it was compiled with: what polyport-load --reply stamp asks for.
 *
 * The few names that it needs of Envoy's interface are declared here, so that it compiles without Envoy's sources:
 *     cc -shared -fPIC -O2 -DVERSION=1 -o libstamp.so envoy_stamp.c */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *ptr;
  size_t length;
} slice;

/* What Envoy offers. */
size_t envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size(void *filter);
bool envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks(void *filter, slice *chunks);
bool envoy_dynamic_module_callback_network_filter_drain_read_buffer(void *filter, size_t length);
void envoy_dynamic_module_callback_network_filter_write(void *filter, slice data, bool end_stream);
size_t envoy_dynamic_module_callback_udp_listener_filter_get_datagram_data_chunks_size(void *filter);
bool envoy_dynamic_module_callback_udp_listener_filter_get_datagram_data_chunks(void *filter, slice *chunks);
bool envoy_dynamic_module_callback_udp_listener_filter_send_datagram(void *filter, slice data, slice peer, uint32_t port);

enum { CHUNKS = 16, LINE = 4096, STOP_ITERATION = 1 };

/* The beginning of a line whose end has not come yet. */
typedef struct {
  char text[LINE];
  size_t length;
} line;

static char stamp[16];
static int config;

const char *envoy_dynamic_module_on_program_init(void) {
  snprintf(stamp, sizeof stamp, "v%d ", VERSION);
  return ABI;
}

void *envoy_dynamic_module_on_network_filter_config_new(void *envoy, slice name, slice given) {
  (void)envoy, (void)name, (void)given;
  return &config;
}
void envoy_dynamic_module_on_network_filter_config_destroy(const void *self) { (void)self; }
void *envoy_dynamic_module_on_network_filter_new(const void *self, void *envoy) {
  (void)self, (void)envoy;
  return calloc(1, sizeof(line));
}
void envoy_dynamic_module_on_network_filter_destroy(void *self) { free(self); }
int envoy_dynamic_module_on_network_filter_new_connection(void *envoy, void *self) {
  (void)envoy, (void)self;
  return 0;
}

static void answer(void *envoy, line *l) {
  char reply[sizeof stamp + LINE];
  size_t length = strlen(stamp);
  memcpy(reply, stamp, length);
  memcpy(reply + length, l->text, l->length);
  envoy_dynamic_module_callback_network_filter_write(envoy, (slice){reply, length + l->length}, false);
  l->length = 0;
}

int envoy_dynamic_module_on_network_filter_read(void *envoy, void *self, size_t length, bool end_stream) {
  line *l = self;
  slice chunks[CHUNKS];
  size_t count = envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size(envoy);
  if (count > CHUNKS || !envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks(envoy, chunks)) count = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t at = 0; at < chunks[i].length; at++) {
      l->text[l->length++] = chunks[i].ptr[at];
      if (chunks[i].ptr[at] == '\n' || l->length == LINE) answer(envoy, l);
    }
  }
  envoy_dynamic_module_callback_network_filter_drain_read_buffer(envoy, length);
  if (end_stream) envoy_dynamic_module_callback_network_filter_write(envoy, (slice){NULL, 0}, true);
  return STOP_ITERATION;
}
int envoy_dynamic_module_on_network_filter_write(void *envoy, void *self, size_t length, bool end_stream) {
  (void)envoy, (void)self, (void)length, (void)end_stream;
  return 0;
}
void envoy_dynamic_module_on_network_filter_event(void *envoy, void *self, int event) {
  (void)envoy, (void)self, (void)event;
}

void *envoy_dynamic_module_on_udp_listener_filter_config_new(void *envoy, slice name, slice given) {
  (void)envoy, (void)name, (void)given;
  return &config;
}
void envoy_dynamic_module_on_udp_listener_filter_config_destroy(const void *self) { (void)self; }
void *envoy_dynamic_module_on_udp_listener_filter_new(const void *self, void *envoy) {
  (void)self, (void)envoy;
  return &config;
}
void envoy_dynamic_module_on_udp_listener_filter_destroy(const void *self) { (void)self; }
int envoy_dynamic_module_on_udp_listener_filter_on_data(void *envoy, const void *self) {
  slice chunks[CHUNKS];
  char reply[sizeof stamp + LINE];
  size_t length = strlen(stamp);
  size_t count = envoy_dynamic_module_callback_udp_listener_filter_get_datagram_data_chunks_size(envoy);
  (void)self;
  memcpy(reply, stamp, length);
  if (count > CHUNKS || !envoy_dynamic_module_callback_udp_listener_filter_get_datagram_data_chunks(envoy, chunks)) count = 0;
  for (size_t i = 0; i < count && length + chunks[i].length <= sizeof reply; i++) {
    memcpy(reply + length, chunks[i].ptr, chunks[i].length);
    length += chunks[i].length;
  }
  /* No address: back to who sent it. */
  envoy_dynamic_module_callback_udp_listener_filter_send_datagram(envoy, (slice){reply, length}, (slice){NULL, 0}, 0);
  return STOP_ITERATION;
}
