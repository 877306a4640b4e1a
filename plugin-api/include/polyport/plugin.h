/* plugin.h - a handler: a protocol that a plugin implements, and the life cycle of its instances.
 *
 * Start:   validate, create, restore_state (if there is saved state), start; then traffic.
 * Reload:  the new and the old instance run side by side while old streams live. reconfigure may be called a second
 *          time, with the old configuration, when a reload is undone.
 * Stop:    listeners close, drain, streams end, save_state, stop, destroy.
 * Each hook has a deadline (daemon.hook-timeout; drain: the grace period). An instance whose hook does not return
 * is abandoned: its ids become invalid and no further hook is called. A hook that returned PP_S_PENDING and is late
 * is skipped: the next hook follows. */
#ifndef POLYPORT_PLUGIN_H
#define POLYPORT_PLUGIN_H

#include "datagram.h"
#include "stream.h"
#include "types.h"

#define PP_HF_PINNED      1u /* all callbacks of one stream on one OS thread */
#define PP_HF_EXCLUSIVE   2u /* state can exist in one generation only: see freeze */
#define PP_HF_MANUAL_FLOW 4u /* do not pause reads while output is above high */

typedef struct pp_handler {
  uint32_t struct_size, flags;
  const char *id, *summary;               /* static; the name in the configuration, and a line for people */
  const char *config_schema;              /* static; JSON Schema of the configuration, or NULL */
  uint32_t state_version, state_min_version; /* version that save_state and export_state write; oldest version read */

  /* Checks a configuration: JSON text, UTF-8. */
  pp_status (*validate)(const pp_slice *json, pp_report *r);                                          /* [pure] */
  /* Creates an instance: no sockets, no threads yet. *self belongs to the handler. */
  pp_status (*create)(pp_id instance, const pp_slice *json, pp_report *r, void **self);               /* [ctl] */
  /* New configuration of a running instance, concurrent with [io]; PP_E_UNSUPPORTED: the host replaces it. */
  pp_status (*reconfigure)(void *self, const pp_slice *json, pp_report *r);                           /* [ctl] */
  pp_status (*restore_state)(void *self, uint32_t version, pp_source *in, pp_report *r);              /* [ctl] */
  /* Threads may start; traffic follows when the hook has succeeded. */
  pp_status (*start)(void *self, pp_id op);                                                           /* [ctl] */
  /* No new streams follow; finish the instance's own work by the deadline. */
  pp_status (*drain)(void *self, pp_id op, pp_nanos deadline);                                        /* [ctl] */
  /* No [io] callback runs; the state stays in use afterwards. The sink is valid until this returns. */
  pp_status (*save_state)(void *self, pp_id op, pp_sink *out);                                        /* [ctl] */
  /* Join all threads: after this hook has ended the instance must not call the host. */
  pp_status (*stop)(void *self, pp_id op);                                                            /* [ctl] */
  pp_status (*destroy)(void *self);                                      /* the last call              [ctl] */
  /* For PP_HF_EXCLUSIVE, on reload: release resources that cannot be shared. Until thaw the only [io] callbacks are
   * export_state, closed and socket_closed, of objects that migrate or end. on_wake and on_timer of the instance
   * are still called. */
  pp_status (*freeze)(void *self, pp_id op);                                                          /* [ctl] */
  pp_status (*thaw)(void *self, pp_id op);                               /* the reload was undone: resume [ctl] */
  pp_status (*on_wake)(void *self, uint64_t bits);                                                    /* [ctl] */
  pp_status (*on_timer)(void *self, uint32_t key);                                                    /* [ctl] */
  pp_status (*on_dial_failed)(void *self, uint64_t tag, pp_status why);                               /* [ctl] */
  /* 0: ready. < 0: not ready, for the reported reason. */
  pp_status (*health)(void *self, pp_report *r);                                                      /* [ctl] */

  const pp_stream_ops *stream;            /* static; NULL: no streams */
  const pp_socket_ops *socket;            /* static; NULL: no datagrams */
  const pp_flow_ops *flow;                /* static; NULL: no flows */
} pp_handler;

#endif
