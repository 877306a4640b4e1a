/* stream.h - byte streams: accepted TCP and Unix connections, and connections that the handler dialled. */
#ifndef POLYPORT_STREAM_H
#define POLYPORT_STREAM_H

#include "types.h"

#define PP_INFO_OUTBOUND 1u  /* result of a dial */
#define PP_INFO_MIGRATED 2u  /* taken over from an older generation */
#define PP_INFO_TLS      4u
typedef struct pp_stream_info {
  uint32_t struct_size, flags;
  pp_addr local, remote;
  pp_addr direct;            /* the connected peer, when remote is from a PROXY header */
  pp_id parent;              /* the owner of the dial, or 0 */
  uint64_t tag;              /* of the dial */
  pp_slice service, listener; /* names; of a dialled stream: the service of the dial's owner; listener empty */
  pp_slice sni, alpn;        /* of TLS; empty without */
} pp_stream_info;

#define PP_DATA_FIN 1u       /* on_data: the peer has ended its direction; no further byte will come */

/* All callbacks may be NULL. Each returns 0 or a PP_E_*. An error closes the stream as a fault of the plugin;
 * only closed() follows.
 * st is the state that open() (or import_state) stored; the handler frees it in closed(). */
typedef struct pp_stream_ops {
  uint32_t struct_size, reserved;
  /* A stream opens. < 0: the host closes it, and closed() is not called. NULL: st stays NULL. */
  pp_status (*open)(void *self, pp_id s, const pp_stream_info *info, void **st);                      /* [io] */
  /* Delivers received bytes. Returns how many were consumed; the host keeps the rest and delivers it again with
   * the bytes that follow. *want (1 before each call): the length below which on_data is not called again. It is
   * called again at once while bytes were consumed, *want bytes remain, reads are on and output is below high.
   * PP_DATA_FIN is delivered even when fewer than *want bytes remain; n may be 0. < 0 closes. 0 consumed of n > 0
   * with PP_DATA_FIN closes: partial message. More than 1 MiB unconsumed closes: too large. NULL: input is
   * dropped, and the end of the peer's direction ends ours. */
  int64_t (*on_data)(void *self, void *st, pp_id s, const uint8_t *p, size_t n, uint32_t flags,
                     size_t *want);                                                                   /* [io] */
  /* Output fell to the low watermark after it was above high. */
  pp_status (*on_writable)(void *self, void *st, pp_id s);                                            /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id s, uint64_t bits);                                 /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id s, uint32_t key);                                 /* [io] */
  /* The daemon, service or instance ends: finish the protocol and close by the deadline. NULL: the host closes
   * the stream as soon as it is idle: nothing unconsumed, nothing unread, nothing unsent. */
  pp_status (*on_drain)(void *self, void *st, pp_id s, pp_nanos deadline);                            /* [io] */
  /* A dial of this stream failed. */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id s, uint64_t tag, pp_status why);            /* [io] */
  /* Migration of a live stream to another generation: export_state here is read-only; import_state runs there. The
   * host moves unread input, unsent output and timers. After a failed import the stream stays here, and more
   * callbacks may follow an export. Host calls of an import take effect once it succeeds; send_datagrams returns 0
   * during an import. */
  pp_status (*export_state)(void *self, void *st, pp_id s, pp_sink *out);                             /* [io] */
  pp_status (*import_state)(void *self, pp_id s, const pp_stream_info *info, uint32_t version, pp_source *in,
                            void **st);                                                               /* [io] */
  /* The last callback: exactly once after open() returned >= 0. reason: PP_END_*. */
  pp_status (*closed)(void *self, void *st, pp_id s, uint32_t reason);                                /* [io] */
} pp_stream_ops;

#endif
