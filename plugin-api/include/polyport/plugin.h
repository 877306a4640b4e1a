/* plugin.h - a handler: a kind of protocol that a plugin offers, and the life of its instances.
 *
 * Start:  validate, create, restore_state (if state is at rest), start; then traffic.
 * Stop:   listeners close, drain, streams end, save_state, stop, destroy.
 * Each hook has a deadline (daemon.hook-timeout; drain: the grace period). An instance whose hook does not return
 * is abandoned: its ids die and no further hook is called. A hook that said PP_S_PENDING and is late is passed over. */
#ifndef POLYPORT_PLUGIN_H
#define POLYPORT_PLUGIN_H

#include "datagram.h"
#include "stream.h"
#include "types.h"

#define PP_HF_PINNED      1u /* all callbacks of one stream on one OS thread */
#define PP_HF_EXCLUSIVE   2u /* state may live in one generation only: see freeze */
#define PP_HF_MANUAL_FLOW 4u /* do not pause reads while output is above high */

typedef struct pp_handler {
  uint32_t struct_size, flags;
  const char *id, *summary;               /* static; the name used in the configuration, and a line for people */
  const char *config_schema;              /* static; JSON Schema of the configuration, or NULL */
  uint32_t state_version, state_min_version; /* written, and oldest understood, by save_state and export_state */

  /* Is this configuration good? json is the configuration as JSON text, UTF-8. */
  pp_status (*validate)(const pp_slice *json, pp_report *r);                                          /* [pure] */
  /* An instance begins: no sockets, no threads yet. *self is the handler's own. */
  pp_status (*create)(pp_id instance, const pp_slice *json, pp_report *r, void **self);               /* [ctl] */
  /* New configuration for a living instance; PP_E_UNSUPPORTED: make a new instance instead. Beside [io]. */
  pp_status (*reconfigure)(void *self, const pp_slice *json, pp_report *r);                           /* [ctl] */
  pp_status (*restore_state)(void *self, uint32_t version, pp_source *in, pp_report *r);              /* [ctl] */
  /* Threads may begin; traffic follows when it has ended well. */
  pp_status (*start)(void *self, pp_id op);                                                           /* [ctl] */
  /* No new streams will come; finish what is the instance's own by the deadline. */
  pp_status (*drain)(void *self, pp_id op, pp_nanos deadline);                                        /* [ctl] */
  /* No [io] callback runs; the state stays usable afterwards. The sink takes bytes until this returns. */
  pp_status (*save_state)(void *self, pp_id op, pp_sink *out);                                        /* [ctl] */
  /* Join your threads: once this has ended, nothing of the instance may call the host. */
  pp_status (*stop)(void *self, pp_id op);                                                            /* [ctl] */
  pp_status (*destroy)(void *self);                                      /* the last call              [ctl] */
  /* For PP_HF_EXCLUSIVE, on reload: release what cannot be shared. Until thaw no [io] follows but export_state,
   * closed and socket_closed, of what is handed over or ends. Wakes and timers of the instance itself still come. */
  pp_status (*freeze)(void *self, pp_id op);                                                          /* [ctl] */
  pp_status (*thaw)(void *self, pp_id op);                               /* the reload was undone: go on [ctl] */
  pp_status (*on_wake)(void *self, uint64_t bits);                                                    /* [ctl] */
  pp_status (*on_timer)(void *self, uint32_t key);                                                    /* [ctl] */
  pp_status (*on_dial_failed)(void *self, uint64_t tag, pp_status why);                               /* [ctl] */
  /* 0: ready. < 0: not, for the reason reported. */
  pp_status (*health)(void *self, pp_report *r);                                                      /* [ctl] */

  const pp_stream_ops *stream;            /* static; NULL: does not serve streams */
  const pp_socket_ops *socket;            /* static; NULL: does not serve datagrams */
  const pp_flow_ops *flow;                /* static; NULL: no flows */
} pp_handler;

#endif
