/* entry.h - the entry of a plugin: an ELF note that is read before any code runs, and one function.
 *
 *   PP_PLUGIN_NOTE("org.example.echo", "1.0", PP_END_OF(pp_host, write), 0)
 *   const pp_plugin *polyport_plugin_v1(void) { return &plugin; }
 *
 * Build:  cc -shared -fPIC -fvisibility=hidden -o libpolyport_echo.so echo.c
 */
#ifndef POLYPORT_ENTRY_H
#define POLYPORT_ENTRY_H

#include "host.h"
#include "plugin.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PP_PF_PANIC_ABORT 1u /* a panic in this build ends the process: for isolated use only */

typedef struct pp_plugin {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;          /* the version it was built against */
  uint32_t host_size_required;            /* PP_END_OF the last member of pp_host used without PP_HAS */
  uint32_t flags;                         /* PP_PF_* */
  const char *id, *version, *license;     /* static; id in reverse domain form, license as SPDX or NULL */
  const pp_handler *const *handlers;      /* static */
  size_t n_handlers;
  /* The first call, once for each generation. Keep h: it is static. */
  pp_status (*init)(const pp_host *h);                                                                /* [load] */
  /* The generation retires; its code stays mapped. */
  pp_status (*fini)(void);                                                                            /* [load] */
  /* The table of an optional extension, by id; static, or NULL. */
  const void *(*get_extension)(const char *id);                                                       /* [any] */
} pp_plugin;

/* The note: ELF section .note.polyport, owner "Polyport", type 1. Frozen. */
#define PP_NOTE_TYPE 1u
typedef struct pp_note {
  uint32_t owner_len, body_len, type;     /* of the ELF note */
  char owner[12];                         /* "Polyport", zero-padded */
  uint16_t abi_major, abi_minor;
  uint32_t host_size_required, flags;
  uint8_t sha256[32];                     /* of the file with this field zeroed; all zero: none */
  char id[64], version[32];               /* zero-terminated */
} pp_note;

#if defined(__GNUC__)
#define PP_EXPORT __attribute__((visibility("default")))
#define PP_NOTE_SECTION __attribute__((section(".note.polyport"), used, aligned(4)))
#else
#error "the note needs a compiler with GNU attributes"
#endif

#define PP_PLUGIN_NOTE(ID, VERSION, HOST_SIZE_REQUIRED, FLAGS)                                               \
  extern const pp_note polyport_note;                                                                        \
  PP_NOTE_SECTION __attribute__((visibility("hidden"))) const pp_note polyport_note = {                      \
      12u, (uint32_t)(sizeof(pp_note) - 24u), PP_NOTE_TYPE, "Polyport", PP_ABI_MAJOR, PP_ABI_MINOR,          \
      (HOST_SIZE_REQUIRED), (FLAGS), {0}, ID, VERSION};

/* The only exported symbol. [load] */
PP_EXPORT const pp_plugin *polyport_plugin_v1(void);

#ifdef __cplusplus
}
#endif

#endif
