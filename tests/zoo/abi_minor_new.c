/* abi_minor_new.c - built against a later minor version, of which it needs nothing: must be served. */
#include "zoo.h"
#undef PP_ABI_MINOR
#define PP_ABI_MINOR 7u
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
