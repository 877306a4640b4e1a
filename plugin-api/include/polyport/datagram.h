/* datagram.h - datagram sockets (UDP, Unix) and optional flows: the datagrams between one local and one remote
 * address. A handler without flows keeps no state for each peer. */
#ifndef POLYPORT_DATAGRAM_H
#define POLYPORT_DATAGRAM_H

#include "types.h"

typedef struct pp_socket_info {
  uint32_t struct_size, flags; /* PP_INFO_OUTBOUND */
  pp_addr local, remote;       /* remote: of a dialled socket */
  pp_id parent;                /* the owner of the dial, or 0 */
  uint64_t tag;                /* of the dial */
  pp_slice service, listener;  /* names; of a dialled socket: the service of the dial's owner; listener empty */
} pp_socket_info;

#define PP_DATAGRAM_TRUNCATED 1u /* longer than the host's buffer; only with PP_SF_WANT_TRUNCATED */
typedef struct pp_datagram {
  const void *ptr;
  size_t len;                /* may be 0: an empty datagram */
  pp_id peer;                /* destination of replies, until the callback returns; consecutive datagrams of one
                              * sender to one local address share it */
  pp_addr from;              /* family unix: host->attribute(peer, "unix.path"); an unnamed peer cannot be sent to */
  pp_addr to;                /* the local address that it was sent to */
  pp_nanos received;
  uint32_t flags, reserved;
} pp_datagram;

#define PP_SF_WANT_TRUNCATED 1u /* pp_socket_ops.flags: deliver truncated datagrams instead of dropping them */

/* One id for each socket (a listener may have several). Callbacks may be NULL. They return 0 or a PP_E_*: an error
 * is logged as a fault of the plugin, and the socket stays open. After PP_E_PANIC the state is not used again: only
 * socket_closed() follows, and for a listener's socket a new socket_open(). */
typedef struct pp_socket_ops {
  uint32_t struct_size, flags;
  /* < 0: the socket is not served. */
  pp_status (*socket_open)(void *self, pp_id sock, const pp_socket_info *info, void **st);            /* [io] */
  /* Delivers a batch as received from the system. stride: distance between elements in bytes. Not called for the
   * datagrams of flows, if the handler has flows. */
  pp_status (*on_datagrams)(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n,
                            size_t stride);                                                           /* [io] */
  pp_status (*on_writable)(void *self, void *st, pp_id sock);            /* after a short send_datagrams  [io] */
  /* The system refused a datagram to this address, at once or by a later ICMP message. os_errno: see <errno.h>. */
  pp_status (*on_send_error)(void *self, void *st, pp_id sock, const pp_addr *to, int32_t os_errno);  /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id sock, uint64_t bits);                              /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id sock, uint32_t key);                              /* [io] */
  /* NULL: the host closes the socket once all received datagrams are delivered and no flow holds it. */
  pp_status (*on_drain)(void *self, void *st, pp_id sock, pp_nanos deadline);                         /* [io] */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id sock, uint64_t tag, pp_status why);         /* [io] */
  /* The last callback: exactly once after socket_open() returned >= 0. */
  pp_status (*socket_closed)(void *self, void *st, pp_id sock, uint32_t reason);                      /* [io] */
} pp_socket_ops;

typedef struct pp_flow_info {
  uint32_t struct_size, flags; /* PP_INFO_MIGRATED */
  pp_id socket;
  pp_addr local, remote;
} pp_flow_info;

/* A flow begins with the first datagram of a remote address and ends by close(), idle timeout or the socket's end.
 * Reply by send_datagrams(info->socket, ...) with pp_out.peer = flow: a flow is in the group of its socket; the
 * socket gets on_writable. st is the state of the flow. An error ends the flow. */
typedef struct pp_flow_ops {
  uint32_t struct_size, flags;
  pp_nanos idle_timeout;     /* 0: the service's idle timeout */
  uint32_t flows_max;        /* for each socket; beyond it the longest idle flow ends; 0: 65536 */
  uint32_t reserved;
  pp_status (*flow_open)(void *self, pp_id flow, const pp_flow_info *info, void **st);                /* [io] */
  pp_status (*on_datagrams)(void *self, void *st, pp_id flow, const pp_datagram *v, size_t n,
                            size_t stride);                                                           /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id flow, uint64_t bits);                              /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id flow, uint32_t key);                              /* [io] */
  /* NULL: an open flow does not delay a drain. */
  pp_status (*on_drain)(void *self, void *st, pp_id flow, pp_nanos deadline);                         /* [io] */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id flow, uint64_t tag, pp_status why);         /* [io] */
  /* As for streams: host calls of an import take effect once it succeeds; send_datagrams returns 0 until then. */
  pp_status (*export_state)(void *self, void *st, pp_id flow, pp_sink *out);                          /* [io] */
  pp_status (*import_state)(void *self, pp_id flow, const pp_flow_info *info, uint32_t version, pp_source *in,
                            void **st);                                                               /* [io] */
  pp_status (*closed)(void *self, void *st, pp_id flow, uint32_t reason);                             /* [io] */
} pp_flow_ops;

#endif
