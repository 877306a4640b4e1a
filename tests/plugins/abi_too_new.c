/* abi_too_new.c - built against a major version that does not exist yet. */
#include "plugin.h"
#undef PP_ABI_MAJOR
#define PP_ABI_MAJOR 2u
TEST_ECHO(handler)
TEST_PLUGIN(handler)
