/* plain.c - nothing is wrong with this one. */
#include "zoo.h"
ZOO_ECHO(plain)
ZOO_PLUGIN(plain)
