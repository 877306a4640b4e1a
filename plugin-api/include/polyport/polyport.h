/* polyport.h - all headers of a plugin, in reading order.
 *
 * A plugin is a shared object with one exported function, polyport_plugin_v1(), which returns constant data: its
 * identity and its handlers (entry.h). A handler implements a protocol (plugin.h) over byte streams (stream.h) or
 * datagrams (datagram.h), with the functions of the daemon (host.h).
 *
 * Freestanding C99 and C++11; needs only <stddef.h> and <stdint.h>. Status: DRAFT of version 1.
 *
 * Contexts, the tag in brackets at the end of each function:
 *   [load] the loader's thread, before any instance exists; only log() and now() of the host may be called
 *   [ctl]  a hook of one instance; hooks of one instance never overlap; the thread may differ from call to call
 *   [io]   a callback about one stream, socket or flow; never two at once for one id nor for the ids of one
 *          group (a dialled object and the owner of the dial); the thread may differ from callback to callback
 *   [any]  any thread, the plugin's own included, at any time, also concurrently
 *   [pure] like [any], without side effects: it may run in a checking process that never serves
 *
 * General rules:
 *   R1 No function of the host calls the plugin before it returns: close, dial, timers and crossing a watermark take
 *      effect after the running callback has returned.
 *   R2 Memory behind a pointer is borrowed until the call returns, in both directions, unless marked static. Neither
 *      side frees the other's memory. Memory that the host returns in a callback is valid until that callback
 *      returns; pp_host, its strings and metric cells are valid until the process ends.
 *   R3 Nothing unwinds across a call: no C++ exception, no Rust panic, no longjmp.
 *   R4 A reader ignores unknown flag bits, unknown values and trailing struct bytes; unused fields are zero.
 *   R5 Objects of the host are identified by ids, never by pointers. A stale or foreign id returns PP_E_GONE, a call
 *      from the wrong context PP_E_CONTEXT; both are harmless.
 */
#ifndef POLYPORT_POLYPORT_H
#define POLYPORT_POLYPORT_H

#include "version.h"
#include "types.h"
#include "host.h"
#include "stream.h"
#include "datagram.h"
#include "plugin.h"
#include "entry.h"

#endif
