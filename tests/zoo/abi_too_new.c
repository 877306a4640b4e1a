/* abi_too_new.c - built against a major version that is still to come. */
#include "zoo.h"
#undef PP_ABI_MAJOR
#define PP_ABI_MAJOR 2u
ZOO_ECHO(handler)
ZOO_PLUGIN(handler)
