/* abi_too_old.c - built against a major version older than the first. */
#include "plugin.h"
#undef PP_ABI_MAJOR
#define PP_ABI_MAJOR 0u
TEST_ECHO(handler)
TEST_PLUGIN(handler)
