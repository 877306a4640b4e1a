/* abi_minor_new.c - built against a later minor version of which it uses nothing: the host must accept it. */
#include "plugin.h"
#undef PP_ABI_MINOR
#define PP_ABI_MINOR 7u
TEST_ECHO(handler)
TEST_PLUGIN(handler)
