/* abi_too_old.c - built against a major version from before the first. */
#include "zoo.h"
#undef PP_ABI_MAJOR
#define PP_ABI_MAJOR 0u
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
