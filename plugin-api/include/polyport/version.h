/* version.h - compatibility between builds.
 *
 * The major number is part of the entry function's name. Within a major version structs only grow at their end, and
 * each begins with struct_size = the size known to its writer. A reader uses the smaller of both sizes.
 *
 * History of version 1 (one line a change):
 *   1.0  draft; may still change until the first release
 */
#ifndef POLYPORT_VERSION_H
#define POLYPORT_VERSION_H

#include <stddef.h>
#include <stdint.h>

#define PP_ABI_MAJOR 1u
#define PP_ABI_MINOR 0u

/* Offset just past FIELD of struct TYPE: for host_size_required. */
#define PP_END_OF(TYPE, FIELD) ((uint32_t)(offsetof(TYPE, FIELD) + sizeof(((TYPE *)0)->FIELD)))

/* Whether *P, written by another build, has FIELD. (Each pointer within the host's struct_size is non-NULL.) */
#define PP_HAS(P, TYPE, FIELD) ((P)->struct_size >= PP_END_OF(TYPE, FIELD))

#endif
