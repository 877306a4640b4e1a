/* needed.c - the library of needs.c. */
__attribute__((visibility("default"))) int zoo_needed(void) { return 0; }
