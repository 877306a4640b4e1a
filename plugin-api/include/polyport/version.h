/* version.h - how two builds made at different times agree.
 *
 * The major number stands in the name of the entry function; within a major version structs only grow, at their
 * end, and each begins with struct_size = the size its writer was compiled with. A reader uses min(its, theirs).
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

/* Offset just past FIELD of struct TYPE: what host_size_required is made of. */
#define PP_END_OF(TYPE, FIELD) ((uint32_t)(offsetof(TYPE, FIELD) + sizeof(((TYPE *)0)->FIELD)))

/* Does *P, written by an other build, have FIELD? (Each pointer within the host's struct_size is non-NULL.) */
#define PP_HAS(P, TYPE, FIELD) ((P)->struct_size >= PP_END_OF(TYPE, FIELD))

#endif
