/* zoo.c - one plugin, good by itself, and its faults, each switched on by a macro. */
#include <polyport/polyport.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the note and the table say; macros override them. */
#ifndef NOTE_MAJOR
#define NOTE_MAJOR PP_ABI_MAJOR
#endif
#ifndef NOTE_HOST_SIZE
#define NOTE_HOST_SIZE PP_END_OF(pp_host, now)
#endif
#ifndef NOTE_FLAGS
#define NOTE_FLAGS 0
#endif
#ifndef NOTE_ID
#define NOTE_ID "org.example.zoo"
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(pp_plugin)
#endif
#ifndef TABLE_ID
#define TABLE_ID "org.example.zoo"
#endif
#ifndef TABLE_MAJOR
#define TABLE_MAJOR PP_ABI_MAJOR
#endif
#ifndef COUNT
#define COUNT 1
#endif
#ifndef HANDLER_SIZE
#define HANDLER_SIZE sizeof(pp_handler)
#endif
#ifndef HANDLER_ID
#define HANDLER_ID "zoo"
#endif
#ifndef ENTRY
#define ENTRY polyport_plugin_v1
#endif
#ifndef INIT
#define INIT return PP_OK
#endif
#ifndef FINI
#define FINI return PP_OK
#endif
#ifndef VALIDATE
#define VALIDATE return PP_OK
#endif
#ifndef STREAM
#define STREAM &stream
#endif

static const pp_host *host;

static void say(const char *text) {
  pp_slice message = {text, strlen(text)};
  pp_kv pair = {{"key", 3}, {"value", 5}};
  host->log(0, PP_LOG_INFO, &message, &pair, 1);
}

static void forever(void) {
  for (;;) pause();
}

static void find(pp_report *r, uint32_t severity, const char *pointer, const char *message) {
  pp_slice where = {pointer, strlen(pointer)}, what = {message, strlen(message)};
  r->add(r, severity, &where, &what);
}

static pp_status init(const pp_host *h) {
  host = h;
  (void)say, (void)forever;
  INIT;
}

static pp_status fini(void) { FINI; }

static pp_status validate(const pp_slice *json, pp_report *r) {
  (void)json, (void)r, (void)find;
  VALIDATE;
}

#ifdef CTOR
__attribute__((constructor)) static void constructor(void) { CTOR; }
#endif
#ifdef MISSING
extern void zoo_first_missing(void), zoo_second_missing(void);
void (*volatile keep_first)(void) = zoo_first_missing;
void (*volatile keep_second)(void) = zoo_second_missing;
#endif

#ifdef GO
__attribute__((section(".gopclntab"), used)) static const int go = 1;
#endif
#ifdef INTERPRETER
__attribute__((section(".interp"), used)) static const char interpreter[] = "/lib/ld.so";
#endif

#ifdef CREATE
/* An instance for which a timer falls due and a wake waits while it dies; it must not be called then. */
static pp_id instance;
static int dead;

static pp_status create(pp_id id, const pp_slice *json, pp_report *r, void **self) {
  (void)json, (void)r;
  instance = id, *self = &dead;
  host->timer_set(id, 1, 10000000, 0);
  host->wake(id, 1);
  CREATE;
}

static pp_status alive(void) {
  if (dead) abort();
  return PP_OK;
}

static pp_status on_wake(void *self, uint64_t bits) { return (void)self, (void)bits, alive(); }
static pp_status on_timer(void *self, uint32_t key) { return (void)self, (void)key, alive(); }

static pp_status destroy(void *self) {
  host->timer_set(instance, 2, 10000000, 1);
  usleep(30000);
  host->wake(instance, 1);
  *(int *)self = 1;
  return PP_OK;
}
#endif

static const pp_stream_ops stream = {.struct_size = sizeof stream};
static const pp_flow_ops flow = {.struct_size = sizeof flow};
static const pp_handler zoo = {.struct_size = HANDLER_SIZE, .id = HANDLER_ID, .summary = "all beasts",
                               .config_schema = "{\"type\":\"object\"}", .state_version = 3,
                               .state_min_version = 2, .validate = validate, .stream = STREAM,
#ifdef CREATE
                               .create = create, .destroy = destroy, .on_wake = on_wake, .on_timer = on_timer,
#endif
#ifdef FLOW
                               .flow = &flow,
#endif
};
static const pp_handler *const handlers[] = {&zoo, &zoo};
static const pp_plugin plugin = {
    .struct_size = TABLE_SIZE, .abi_major = TABLE_MAJOR, .abi_minor = PP_ABI_MINOR, .id = TABLE_ID,
    .version = "1.2", .license = "MIT", .handlers = handlers, .n_handlers = COUNT, .init = init, .fini = fini};

#ifndef NO_NOTE
extern const pp_note polyport_note;
PP_NOTE_SECTION __attribute__((visibility("hidden"))) const pp_note polyport_note = {
    12u, (uint32_t)(sizeof(pp_note) - 24u), PP_NOTE_TYPE, "Polyport", NOTE_MAJOR, PP_ABI_MINOR,
    NOTE_HOST_SIZE, NOTE_FLAGS, {0}, NOTE_ID, "1.2"};
#endif

PP_EXPORT const pp_plugin *ENTRY(void);
#ifndef RETURN
#define RETURN return &plugin
#endif
const pp_plugin *ENTRY(void) {
  (void)flow, (void)plugin;
  RETURN;
}
