/* polyport.h - everything a plugin needs, in reading order.
 *
 * A plugin is a shared object with one exported function, polyport_plugin_v1(), which returns constant data:
 * who it is and which handlers it offers (entry.h). A handler is a kind of protocol (plugin.h); what it does
 * with a byte stream stands in stream.h, with datagrams in datagram.h; what it may ask of the daemon in host.h.
 *
 * Freestanding C99 and C++11; needs only <stddef.h> and <stdint.h>. Status: DRAFT of version 1.
 *
 * Contexts, the tag in brackets at the end of each function:
 *   [load] the loader's thread, before any instance lives; of the host only log() and now() may be called
 *   [ctl]  a hook of one instance; hooks of one instance never overlap; the thread may differ from call to call
 *   [io]   a callback about one stream, socket or flow; never two at once for one id nor for the ids of one
 *          family (a dialled stream and whoever dialled it); the thread may differ from callback to callback
 *   [any]  any thread, the plugin's own included, at any time, also at once
 *   [pure] like [any], and without effect: it may run in a checking process that never serves
 *
 * Rules that hold everywhere:
 *   R1 No function of the host calls back into the plugin before it returns: close, dial, timers and crossing a
 *      watermark take effect after the running callback has returned.
 *   R2 What a pointer points to is borrowed until the call returns, in both directions, unless the line says
 *      static. Neither side frees the other's memory. What the host hands out in a callback lives until that
 *      callback returns; pp_host, its strings and metric cells live as long as the process.
 *   R3 Nothing unwinds across a call: no C++ exception, no Rust panic, no longjmp.
 *   R4 Unknown flag bits, unknown values and trailing struct bytes are ignored by who reads them; what is unused
 *      is zero.
 *   R5 Things of the host are named by ids, never by pointers. A stale or foreign id gives PP_E_GONE, a call from
 *      the wrong context PP_E_CONTEXT; neither does harm.
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
