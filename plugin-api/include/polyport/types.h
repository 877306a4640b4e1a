/* types.h - types and constants of both sides. Frozen for ever, except that constants may be added. */
#ifndef POLYPORT_TYPES_H
#define POLYPORT_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t pp_id;     /* names an instance, stream, socket, flow, peer or operation; 0 = none; opaque */
typedef int32_t  pp_status; /* 0 done, > 0 done with a remark PP_S_*, < 0 refused PP_E_* */
typedef uint64_t pp_nanos;  /* nanoseconds; points in time are CLOCK_MONOTONIC */

#define PP_OK             0
#define PP_S_PENDING      1  /* from a hook: not finished yet, ends by host->complete(op, ...) */
#define PP_S_ABOVE_HIGH   2  /* from write: accepted, but output is above the high watermark: wait for on_writable */
#define PP_E_GONE        -1  /* the id is stale, foreign or of the wrong kind */
#define PP_E_INVAL       -2  /* an argument is out of its range */
#define PP_E_FULL        -3  /* a bound is reached; nothing was accepted */
#define PP_E_CONTEXT     -4  /* called from a context that the function's tag does not allow */
#define PP_E_UNSUPPORTED -5  /* not supported by this build or this kind of object */
#define PP_E_DENIED      -6  /* the operator's policy or the system forbids it */
#define PP_E_CLOSING     -7  /* the object or its instance is ending: stop your threads */
#define PP_E_PANIC       -8  /* a panic or exception was caught inside the plugin; state is poisoned */
#define PP_E_FAIL        -9  /* failed; the reason was reported or logged */
#define PP_E_TIMEOUT    -10  /* a deadline of the host passed */
#define PP_E_REFUSED    -11  /* the peer refused the connection */
#define PP_E_UNREACHABLE -12 /* no route to the peer */

/* Bytes or UTF-8 text, not NUL-terminated. */
typedef struct pp_slice { const void *ptr; size_t len; } pp_slice;

#define PP_FAMILY_NONE 0u
#define PP_FAMILY_UNIX 1u    /* no ip, no port; host->attribute(id, "unix.path") */
#define PP_FAMILY_V4   4u    /* ip[0..4], network order; never v4-mapped IPv6 */
#define PP_FAMILY_V6   6u
typedef struct pp_addr { uint16_t family, port /* host order */; uint32_t scope; uint8_t ip[16]; } pp_addr;

typedef struct pp_kv { pp_slice key, value; } pp_kv;

#define PP_LOG_ERROR 1u      /* something the operator must act on */
#define PP_LOG_WARN  2u
#define PP_LOG_INFO  3u
#define PP_LOG_DEBUG 4u
#define PP_LOG_TRACE 5u

/* Receives the findings of validate, create and restore_state; the operator sees each with its position in the
 * configuration file. pointer is a JSON pointer (RFC 6901) into the handler's configuration. */
#define PP_REPORT_ERROR   1u
#define PP_REPORT_WARNING 2u
typedef struct pp_report {
  void *ctx;
  void (*add)(struct pp_report *, uint32_t severity, const pp_slice *pointer, const pp_slice *message); /* [any] */
} pp_report;

/* Writer and reader of state. write accepts all bytes or returns a PP_E_*; read returns 0 at the end. */
typedef struct pp_sink {
  void *ctx;
  int64_t (*write)(struct pp_sink *, const void *bytes, size_t len);                     /* [any] until return */
} pp_sink;
typedef struct pp_source {
  void *ctx;
  int64_t (*read)(struct pp_source *, void *into, size_t len);                           /* [any] until return */
} pp_source;

/* Why a stream, socket or flow ended: the last argument of closed(). */
#define PP_END_DONE          1u  /* both directions ended in order */
#define PP_END_HANDLER       2u  /* the handler closed it */
#define PP_END_PEER_RESET    3u  /* the peer reset it or vanished */
#define PP_END_IDLE         10u  /* no byte within the idle timeout */
#define PP_END_FIRST_BYTE   11u  /* no first byte in time */
#define PP_END_WRITE        12u  /* the peer did not read within the write timeout */
#define PP_END_LIFETIME     13u
#define PP_END_TOO_LARGE    14u  /* the handler wants more bytes than the host may buffer */
#define PP_END_PARTIAL      15u  /* the peer ended in the middle of a message */
#define PP_END_PLUGIN_FAULT 20u  /* a callback failed, panicked or returned an impossible value */
#define PP_END_DRAIN        30u  /* shutdown or reload, in order */
#define PP_END_FORCED       31u  /* shutdown: the grace period ran out */
#define PP_END_OPERATOR     32u
#define PP_END_HOST         33u  /* the system refused something */
#define PP_END_MIGRATED     34u  /* another generation took it over; the id stays valid there */

#endif
