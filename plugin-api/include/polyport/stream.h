/* stream.h - byte streams: accepted TCP and Unix connections, and those that the handler dialled. */
#ifndef POLYPORT_STREAM_H
#define POLYPORT_STREAM_H

#include "types.h"

#define PP_INFO_OUTBOUND 1u  /* this is the result of a dial */
#define PP_INFO_MIGRATED 2u  /* handed over by an older generation */
#define PP_INFO_TLS      4u
typedef struct pp_stream_info {
  uint32_t struct_size, flags;
  pp_addr local, remote;
  pp_addr direct;            /* the neighbour on the wire, when remote was told by a PROXY header */
  pp_id parent;              /* who dialled, or 0 */
  uint64_t tag;              /* of the dial */
  pp_slice service, listener; /* names; of a dialled stream: the service of who dialled it; listener empty */
  pp_slice sni, alpn;        /* of TLS; empty without */
} pp_stream_info;

#define PP_DATA_FIN 1u       /* on_data: the peer has ended its direction; no further byte will come */

/* All callbacks may be NULL. Each returns 0, or a PP_E_*: then the stream is closed as a fault of the plugin,
 * and only closed() follows.
 * st is what open() (or import_state) put there; the handler frees it in closed(). */
typedef struct pp_stream_ops {
  uint32_t struct_size, reserved;
  /* A stream begins. < 0: the host closes it, and closed() is not called. NULL: st stays NULL. */
  pp_status (*open)(void *self, pp_id s, const pp_stream_info *info, void **st);                      /* [io] */
  /* Bytes have come. Returns how many were used up; the rest is kept and shown again with what follows. *want
   * (1 before each call): do not call again below this length. Called again at once while something was used
   * up, *want bytes remain, reads are on and output is below high. A PP_DATA_FIN is shown even when fewer than
   * *want remain, n may be 0. < 0 closes. 0 used up of n > 0 with PP_DATA_FIN closes: the message was partial.
   * More kept than the host may keep (1 MiB) closes: too large. NULL: what comes is dropped, and the peer's end
   * is answered by ours. */
  int64_t (*on_data)(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags,
                     size_t *want);                                                                   /* [io] */
  /* Output fell to the low watermark after it had been above high. */
  pp_status (*on_writable)(void *self, void *st, pp_id s);                                            /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id s, uint64_t bits);                                 /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id s, uint32_t key);                                 /* [io] */
  /* The daemon, service or instance ends; say goodbye and close by the deadline. NULL: the host closes the
   * stream as soon as it is idle: nothing kept, nothing unread, nothing unsent. */
  pp_status (*on_drain)(void *self, void *st, pp_id s, pp_nanos deadline);                            /* [io] */
  /* A dial whose owner is this stream came to nothing. */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id s, uint64_t tag, pp_status why);            /* [io] */
  /* Hand-over of a live stream to another generation: read-only here; import in the other. Unread input,
   * unsent output and timers are the host's affair. A failed import leaves the stream where it was. What the import
   * asks of the host is done once it has ended well; datagrams are not taken meanwhile: send_datagrams gives 0. */
  pp_status (*export_state)(void *self, void *st, pp_id s, pp_sink *out);                             /* [io] */
  pp_status (*import_state)(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                            void **st);                                                               /* [io] */
  /* The end: exactly once after open() returned >= 0; the last callback. reason: PP_END_*. */
  pp_status (*closed)(void *self, void *st, pp_id s, uint32_t reason);                                /* [io] */
} pp_stream_ops;

#endif
