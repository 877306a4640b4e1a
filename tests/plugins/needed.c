/* needed.c - the library of needs.c. */
__attribute__((visibility("default"))) int test_needed(void) { return 0; }
