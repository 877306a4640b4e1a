/* datagram.h - datagram sockets (UDP, Unix) and, for handlers that want them, flows: the datagrams between one
 * local and one remote address. A handler without flows is stateless towards its peers. */
#ifndef POLYPORT_DATAGRAM_H
#define POLYPORT_DATAGRAM_H

#include "types.h"

typedef struct pp_socket_info {
  uint32_t struct_size, flags; /* PP_INFO_OUTBOUND */
  pp_addr local, remote;       /* remote: of a dialled socket */
  pp_id parent;                /* who dialled, or 0 */
  uint64_t tag;                /* of the dial */
  pp_slice service, listener;  /* names; of a dialled socket: the service of who dialled it; listener empty */
} pp_socket_info;

#define PP_DATAGRAM_TRUNCATED 1u /* it was longer than the host could hold; only handlers that ask see these */
typedef struct pp_datagram {
  const void *ptr;
  size_t len;                /* 0 is data */
  pp_id peer;                /* answer to this, until the callback returns; neighbours in a batch from one sender to
                              * one of our addresses share it */
  pp_addr from;              /* family unix: host->attribute(peer, "unix.path"); an unnamed one can't be answered */
  pp_addr to;                /* the local address that was asked */
  pp_nanos received;
  uint32_t flags, reserved;
} pp_datagram;

#define PP_SF_WANT_TRUNCATED 1u /* pp_socket_ops.flags: show truncated datagrams instead of dropping them */

/* One id for each socket (a listener may have several). Callbacks may be NULL and return 0 or a PP_E_*, which is
 * logged as a fault of the plugin; the socket goes on. After PP_E_PANIC its state is not used again: only
 * socket_closed() follows, and for a listener's socket a new socket_open(). */
typedef struct pp_socket_ops {
  uint32_t struct_size, flags;
  /* < 0: the socket is not served. */
  pp_status (*socket_open)(void *self, pp_id sock, const pp_socket_info *info, void **st);            /* [io] */
  /* A batch as it came from the system. stride: distance from one element to the next. Not called for the
   * datagrams of flows, if the handler has flows. */
  pp_status (*on_datagrams)(void *self, void *st, pp_id sock, const pp_datagram *v, size_t n,
                            size_t stride);                                                           /* [io] */
  pp_status (*on_writable)(void *self, void *st, pp_id sock);            /* after a short send_datagrams  [io] */
  /* The system refused a datagram to this address, now or by a later ICMP message. os_errno as in <errno.h>. */
  pp_status (*on_send_error)(void *self, void *st, pp_id sock, const pp_addr *to, int32_t os_errno);  /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id sock, uint64_t bits);                              /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id sock, uint32_t key);                              /* [io] */
  /* NULL: the host closes the socket once what has arrived was shown and no flow holds it. */
  pp_status (*on_drain)(void *self, void *st, pp_id sock, pp_nanos deadline);                         /* [io] */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id sock, uint64_t tag, pp_status why);         /* [io] */
  /* Exactly once after socket_open() returned >= 0; the last callback. */
  pp_status (*socket_closed)(void *self, void *st, pp_id sock, uint32_t reason);                      /* [io] */
} pp_socket_ops;

typedef struct pp_flow_info {
  uint32_t struct_size, flags; /* PP_INFO_MIGRATED */
  pp_id socket;
  pp_addr local, remote;
} pp_flow_info;

/* Flows begin with the first datagram of a remote address and end by close(), idle timeout or the socket's end.
 * Answer by send_datagrams(info->socket, ...) with pp_out.peer = flow: a flow is of the family of its socket, which
 * also gets the on_writable. st is the flow's own. An error ends the flow. */
typedef struct pp_flow_ops {
  uint32_t struct_size, flags;
  pp_nanos idle_timeout;     /* 0: the service's idle timeout */
  uint32_t flows_max;        /* for each socket; beyond it the one that was idle longest ends; 0: 65536 */
  uint32_t reserved;
  pp_status (*flow_open)(void *self, pp_id flow, const pp_flow_info *info, void **st);                /* [io] */
  pp_status (*on_datagrams)(void *self, void *st, pp_id flow, const pp_datagram *v, size_t n,
                            size_t stride);                                                           /* [io] */
  pp_status (*on_wake)(void *self, void *st, pp_id flow, uint64_t bits);                              /* [io] */
  pp_status (*on_timer)(void *self, void *st, pp_id flow, uint32_t key);                              /* [io] */
  /* NULL: an open flow does not hold up a drain. */
  pp_status (*on_drain)(void *self, void *st, pp_id flow, pp_nanos deadline);                         /* [io] */
  pp_status (*on_dial_failed)(void *self, void *st, pp_id flow, uint64_t tag, pp_status why);         /* [io] */
  /* As for streams: what an import asks of the host is done once it has ended well; send_datagrams gives 0 till then. */
  pp_status (*export_state)(void *self, void *st, pp_id flow, pp_sink *out);                          /* [io] */
  pp_status (*import_state)(void *self, pp_id flow, const pp_flow_info *info, uint32_t version, pp_source *in,
                            void **st);                                                               /* [io] */
  pp_status (*closed)(void *self, void *st, pp_id flow, uint32_t reason);                             /* [io] */
} pp_flow_ops;

#endif
