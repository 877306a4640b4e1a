/* stamp.c - a module of nginx with one directive, `stamp;`, for a server of the stream block: it answers each line of a
 * connection and each datagram with "vN " and what was sent, N being the VERSION that it was compiled with. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>

#define TEXT(number) #number
#define STAMP(number) "v" TEXT(number) " "

/* A worker that is told to leave stays as long as there is a timer: a connection without one is cut off. */
enum { IDLE = 600 * 1000 };
enum { LINE = 4096, STAMP_LENGTH = sizeof(STAMP(VERSION)) - 1 };

ngx_module_t ngx_stream_stamp_module;

/* The stamp, and the beginning of a line whose end has not come yet. */
typedef struct {
  u_char text[STAMP_LENGTH + LINE];
  size_t length;
} line;

static void read_lines(ngx_event_t *event) {
  ngx_connection_t *c = event->data;
  ngx_stream_session_t *s = c->data;
  line *l = ngx_stream_get_module_ctx(s, ngx_stream_stamp_module);
  if (event->timedout) return ngx_stream_finalize_session(s, NGX_STREAM_OK);
  for (;;) {
    u_char given[LINE];
    ssize_t n = c->recv(c, given, sizeof given);
    if (n == NGX_AGAIN) {
      ngx_add_timer(event, IDLE);
      if (ngx_handle_read_event(event, 0) == NGX_OK) return;
      n = NGX_ERROR;
    }
    if (n <= 0) return ngx_stream_finalize_session(s, NGX_STREAM_OK);
    for (ssize_t i = 0; i < n; i++) {
      l->text[l->length++] = given[i];
      if (given[i] != '\n' && l->length < sizeof l->text) continue;
      /* Lines are short and the peer reads: what does not fit into the socket is an error here. */
      if (c->send(c, l->text, l->length) != (ssize_t)l->length) return ngx_stream_finalize_session(s, NGX_STREAM_OK);
      l->length = STAMP_LENGTH;
    }
  }
}

static void write_nothing(ngx_event_t *event) { (void)event; }

static void answer_datagram(ngx_stream_session_t *s, ngx_connection_t *c) {
  u_char text[STAMP_LENGTH + LINE];
  size_t length = ngx_min(c->buffer->last - c->buffer->pos, LINE);
  ngx_memcpy(text, STAMP(VERSION), STAMP_LENGTH);
  ngx_memcpy(text + STAMP_LENGTH, c->buffer->pos, length);
  c->send(c, text, STAMP_LENGTH + length);
  ngx_stream_finalize_session(s, NGX_STREAM_OK);
}

static void handle(ngx_stream_session_t *s) {
  ngx_connection_t *c = s->connection;
  if (c->type == SOCK_DGRAM) return answer_datagram(s, c);
  line *l = ngx_palloc(c->pool, sizeof *l);
  if (l == NULL) return ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
  ngx_memcpy(l->text, STAMP(VERSION), STAMP_LENGTH);
  l->length = STAMP_LENGTH;
  ngx_stream_set_ctx(s, l, ngx_stream_stamp_module);
  c->read->handler = read_lines;
  c->write->handler = write_nothing;
  read_lines(c->read);
}

static char *set_handler(ngx_conf_t *cf, ngx_command_t *command, void *conf) {
  ngx_stream_core_srv_conf_t *core = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);
  (void)command, (void)conf;
  core->handler = handle;
  return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
    {ngx_string("stamp"), NGX_STREAM_SRV_CONF | NGX_CONF_NOARGS, set_handler, 0, 0, NULL}, ngx_null_command};
static ngx_stream_module_t context = {NULL, NULL, NULL, NULL, NULL, NULL};
ngx_module_t ngx_stream_stamp_module = {NGX_MODULE_V1, &context, commands, NGX_STREAM_MODULE, NULL, NULL, NULL, NULL,
                                        NULL, NULL, NULL, NGX_MODULE_V1_PADDING};
