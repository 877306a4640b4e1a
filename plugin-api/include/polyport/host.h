/* host.h - what a plugin may ask of the daemon. One table for each generation of a plugin; static. */
#ifndef POLYPORT_HOST_H
#define POLYPORT_HOST_H

#include "types.h"

#define PP_WRITE_FIN   1u    /* write, commit: end our direction after these bytes */
#define PP_CLOSE_FLUSH 0u    /* close: send what is queued, then end in order */
#define PP_CLOSE_NOW   1u    /* close: drop what is queued, end in order */
#define PP_CLOSE_RESET 2u    /* close: drop what is queued and reset */

#define PP_DIAL_STREAM   0u  /* pp_dial.kind */
#define PP_DIAL_DATAGRAM 1u
#define PP_DIAL_UNIX     2u
#define PP_DIAL_UNIXGRAM 3u
typedef struct pp_dial {
  uint32_t struct_size, flags, kind, reserved;
  pp_slice upstream;         /* a name from the operator's configuration, dialled by kind; empty: addr or path */
  pp_slice path;             /* unix kinds; a leading NUL means an abstract name */
  pp_addr addr;
  pp_nanos connect_timeout;  /* 0: 10 s */
  uint64_t tag;              /* comes back in pp_stream_info.tag, pp_socket_info.tag or on_dial_failed */
} pp_dial;

/* One datagram to send. The address is peer if that is not 0, else *to; a dialled socket needs neither. */
typedef struct pp_out {
  pp_slice data;
  pp_id peer;                /* pp_datagram.peer, or a flow */
  const pp_addr *to;
  const pp_addr *from;       /* the local address to send from; NULL: the one that the peer asked */
  uint32_t flags, reserved;
} pp_out;

#define PP_METRIC_COUNTER 1u /* only ever grows; name it *_total */
#define PP_METRIC_GAUGE   2u /* a signed number kept in the cell's two's complement */
/* Adds N to a metric cell from any thread. */
#define PP_CELL_ADD(CELL, N) ((void)__atomic_fetch_add((CELL), (uint64_t)(N), __ATOMIC_RELAXED))

typedef struct pp_host {
  uint32_t struct_size, abi_minor;
  const char *version;                  /* of the daemon; static */
  const uint32_t *log_level;            /* static; the most talkative PP_LOG_* that is written; read it relaxed */

  /* --- observe */
  /* A table of functions that are optional in this version, by id "polyport.NAME/REV"; static, or NULL. */
  const void *(*get_extension)(const char *id);                                                       /* [any] */
  /* who: any id of the plugin, or 0 when there is none. Pairs come out as one text of key=value; a text over 4 KiB
   * is cut. */
  void (*log)(pp_id who, uint32_t level, const pp_slice *message, const pp_kv *pairs, size_t n);      /* [any] */
  pp_nanos (*now)(void);                                 /* inside [io]: the time of this turn        [any] */
  /* A cell that the daemon publishes as polyport_plugin_NAME{labels}; static. Same name and labels: same cell. */
  pp_status (*metric)(pp_id instance, uint32_t kind, const char *name, const char *help,
                      const pp_kv *labels, size_t n, uint64_t **cell);                                /* [ctl] */

  /* --- wake and finish */
  /* on_wake(target, bits) follows soon, in the target's own context; bits, never 0, of several calls are OR-ed.
   * 0 means queued. Allowed on streams, sockets, flows and instances. */
  pp_status (*wake)(pp_id target, uint64_t bits);                                                     /* [any] */
  /* Ends a hook that returned PP_S_PENDING; once for each op; also before it has returned. */
  pp_status (*complete)(pp_id op, pp_status result, const pp_slice *why);                             /* [any] */

  /* --- a stream: the one of the running callback or of its family */
  /* Copies. What a callback writes goes out together, at the latest when it returns; 16 KiB and more may go at once.
   * PP_E_FULL: nothing was taken; an echo, which writes no more than it read, never sees it. PP_E_INVAL:
   * more than 4 MiB at once. */
  pp_status (*write)(pp_id stream, const pp_slice *v, size_t n, uint32_t flags);                      /* [io] */
  /* The same without the copy: *into has room for len bytes (at most 1 MiB) until the callback returns or commit or
   * reserve is called again; commit takes up to len bytes of it. Bytes go out in the order of write and commit. */
  pp_status (*reserve)(pp_id stream, size_t len, void **into);                                        /* [io] */
  pp_status (*commit)(pp_id stream, size_t len, uint32_t flags);                                      /* [io] */
  /* Stops (0) or starts (1) on_data. Idempotent; the host pauses by itself while output is above high. */
  pp_status (*set_reads)(pp_id stream, uint32_t on);                                                  /* [io] */
  /* Bytes of output at which reads pause (high) and on_writable comes (low). */
  pp_status (*set_watermarks)(pp_id stream, size_t low, size_t high);                                 /* [io] */
  /* how: PP_CLOSE_*; why goes to the log. Also for flows and dialled sockets, where how is ignored. */
  pp_status (*close)(pp_id id, uint32_t how, const pp_slice *why);                                    /* [io] */
  /* "unix.path", "listener", "service"; borrowed until the callback returns. Peers have "unix.path" only. */
  pp_status (*attribute)(pp_id id, const char *key, pp_slice *value);                                 /* [io] */

  /* --- time and the outside; owner: stream, socket, flow [io] or instance [ctl] */
  /* on_timer(owner, key) after `after`, then every period if that is not 0; an instance's is at least 1 ms. Setting
   * again replaces. */
  pp_status (*timer_set)(pp_id owner, uint32_t key, pp_nanos after, pp_nanos period);             /* [io] [ctl] */
  /* It never fires after this returned. */
  pp_status (*timer_cancel)(pp_id owner, uint32_t key);                                           /* [io] [ctl] */
  /* Ends in open() or socket_open() with PP_INFO_OUTBOUND, or in on_dial_failed() of the owner. */
  pp_status (*dial)(pp_id owner, const pp_dial *d);                                               /* [io] [ctl] */

  /* --- datagrams */
  /* Sends in order; returns how many were taken (the rest stays the plugin's: wait for on_writable) or a PP_E_*.
   * What the system refuses later comes by on_send_error. stride = sizeof(pp_out) as the plugin knows it. */
  int64_t (*send_datagrams)(pp_id socket, const pp_out *v, size_t n, size_t stride);                  /* [io] */
} pp_host;

#endif
