/* two.h - included before a plugin of the tests: it is then built against major version 2. */
#include <polyport/polyport.h>
#undef PP_ABI_MAJOR
#define PP_ABI_MAJOR 2u
