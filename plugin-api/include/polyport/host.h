/* host.h - the functions of the daemon. One table for each generation of a plugin; static. */
#ifndef POLYPORT_HOST_H
#define POLYPORT_HOST_H

#include "types.h"

#define PP_WRITE_FIN   1u    /* write, commit: end our direction after these bytes */
#define PP_CLOSE_FLUSH 0u    /* close: send queued output, then end in order */
#define PP_CLOSE_NOW   1u    /* close: drop queued output, end in order */
#define PP_CLOSE_RESET 2u    /* close: drop queued output and reset */

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
  uint64_t tag;              /* returned in pp_stream_info.tag, pp_socket_info.tag or on_dial_failed */
} pp_dial;

/* One datagram to send. The destination is peer if not 0, else *to; a dialled socket needs neither. */
typedef struct pp_out {
  pp_slice data;
  pp_id peer;                /* pp_datagram.peer, or a flow */
  const pp_addr *to;
  const pp_addr *from;       /* the local address to send from; NULL: the one that the peer sent to */
  uint32_t flags, reserved;
} pp_out;

#define PP_METRIC_COUNTER 1u /* never decreases; name it *_total */
#define PP_METRIC_GAUGE   2u /* a signed number, stored in two's complement */
/* Adds N to a metric cell from any thread. */
#define PP_CELL_ADD(CELL, N) ((void)__atomic_fetch_add((CELL), (uint64_t)(N), __ATOMIC_RELAXED))

typedef struct pp_host {
  uint32_t struct_size, abi_minor;
  const char *version;                  /* of the daemon; static */
  const uint32_t *log_level;            /* static; the least severe PP_LOG_* that is written; read it relaxed */

  /* --- observe */
  /* The table of an optional extension, by id "polyport.NAME/REV"; static, or NULL. */
  const void *(*get_extension)(const char *id);                                                       /* [any] */
  /* who: any id of the plugin, or 0. Pairs are appended as key=value; a text over 4 KiB is cut. */
  void (*log)(pp_id who, uint32_t level, const pp_slice *message, const pp_kv *pairs, size_t n);      /* [any] */
  pp_nanos (*now)(void);                                 /* inside [io]: the time of this loop turn   [any] */
  /* A cell that the daemon exports as polyport_plugin_NAME{labels}; static. Same name and labels: same cell. */
  pp_status (*metric)(pp_id instance, uint32_t kind, const char *name, const char *help,
                      const pp_kv *labels, size_t n, uint64_t **cell);                                /* [ctl] */

  /* --- wake and finish */
  /* Requests on_wake(target, bits) in the target's own context; bits (never 0) of several calls are OR-ed. Returns
   * 0 when queued. target: stream, socket, flow or instance. */
  pp_status (*wake)(pp_id target, uint64_t bits);                                                     /* [any] */
  /* Ends a hook that returns PP_S_PENDING; once for each op; may be called before the hook has returned. */
  pp_status (*complete)(pp_id op, pp_status result, const pp_slice *why);                             /* [any] */

  /* --- streams: the object of the running callback, or another one of its group */
  /* Copies. All output of a callback is sent together, at the latest when it returns; 16 KiB and more may be sent
   * earlier. PP_E_FULL: nothing was accepted; an echo, which writes no more than it read, never gets it.
   * PP_E_INVAL: more than 4 MiB in one call. */
  pp_status (*write)(pp_id stream, const pp_slice *v, size_t n, uint32_t flags);                      /* [io] */
  /* Write in place: *into has room for len bytes (at most 1 MiB) until the callback returns or commit or reserve is
   * called again; commit sends up to len bytes of it. Bytes are sent in the order of write and commit. */
  pp_status (*reserve)(pp_id stream, size_t len, void **into);                                        /* [io] */
  pp_status (*commit)(pp_id stream, size_t len, uint32_t flags);                                      /* [io] */
  /* Stops (0) or starts (1) on_data. Idempotent; the host pauses reads by itself while output is above high. */
  pp_status (*set_reads)(pp_id stream, uint32_t on);                                                  /* [io] */
  /* Bytes of output at which reads pause (high) and on_writable is called (low). */
  pp_status (*set_watermarks)(pp_id stream, size_t low, size_t high);                                 /* [io] */
  /* how: PP_CLOSE_*; why is logged. Also for flows and dialled sockets, where how is ignored. */
  pp_status (*close)(pp_id id, uint32_t how, const pp_slice *why);                                    /* [io] */
  /* "unix.path", "listener", "service"; borrowed until the callback returns. Peers have "unix.path" only. */
  pp_status (*attribute)(pp_id id, const char *key, pp_slice *value);                                 /* [io] */

  /* --- time and the outside; owner: stream, socket, flow [io] or instance [ctl] */
  /* Calls on_timer(owner, key) after `after`, then every period if not 0; a period of an instance is at least 1 ms.
   * Setting a key again replaces its timer. */
  pp_status (*timer_set)(pp_id owner, uint32_t key, pp_nanos after, pp_nanos period);             /* [io] [ctl] */
  /* The timer never fires after this has returned. */
  pp_status (*timer_cancel)(pp_id owner, uint32_t key);                                           /* [io] [ctl] */
  /* Results in open() or socket_open() with PP_INFO_OUTBOUND, or in on_dial_failed() of the owner. */
  pp_status (*dial)(pp_id owner, const pp_dial *d);                                               /* [io] [ctl] */

  /* --- datagrams */
  /* Sends in order; returns the number accepted (for the rest, wait for on_writable) or a PP_E_*. Later refusals of
   * the system are reported by on_send_error. stride: the plugin's sizeof(pp_out). */
  int64_t (*send_datagrams)(pp_id socket, const pp_out *v, size_t n, size_t stride);                  /* [io] */
} pp_host;

#endif
