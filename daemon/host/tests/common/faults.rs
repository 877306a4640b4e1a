//! The zoo's faults that only show when it runs.

use polyport_host::refusal::Code;

/// Macros of the zoo, the code of the refusal, and words in it.
pub(crate) type Fault = (&'static [&'static str], Code, &'static str);

pub(crate) const CONSTRUCTORS: &[Fault] = &[
    (
        &["CTOR=*(volatile int*)8=1"],
        Code::ConstructorCrashed,
        "SIGSEGV",
    ),
    (&["CTOR=abort()"], Code::ConstructorCrashed, "SIGABRT"),
    (&["CTOR=exit(0)"], Code::Exited, "with 0"),
    (&["CTOR=_exit(3)"], Code::Exited, "with 3"),
];

pub(crate) const TABLES: &[Fault] = &[
    (
        &["RETURN=return 0"],
        Code::TablesInvalid,
        "the table of the plugin is a null pointer",
    ),
    (
        &["RETURN=return (void*)8"],
        Code::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=return (void*)-8"],
        Code::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=abort()"],
        Code::TablesInvalid,
        "its entry function died by SIGABRT",
    ),
    (
        &["TABLE_SIZE=4"],
        Code::TablesInvalid,
        "says it has 4 bytes",
    ),
    (
        &["TABLE_SIZE=72"],
        Code::TablesInvalid,
        "says it has 72 bytes",
    ),
    (
        &["TABLE_SIZE=1<<20"],
        Code::TablesInvalid,
        "says it has 1048576 bytes",
    ),
    (
        &["TABLE_ID=\"org.example.other\""],
        Code::TablesInvalid,
        "in the note",
    ),
    (
        &["TABLE_ID=0"],
        Code::TablesInvalid,
        "the id of the plugin is a null pointer",
    ),
    (&["TABLE_MAJOR=2"], Code::AbiTooNew, "ABI 2"),
    (&["COUNT=0"], Code::TablesInvalid, "it offers 0 handlers"),
    (&["COUNT=65"], Code::TablesInvalid, "it offers 65 handlers"),
    (
        &["COUNT=2"],
        Code::TablesInvalid,
        "two of its handlers are called zoo",
    ),
    (
        &["HANDLER_SIZE=64"],
        Code::TablesInvalid,
        "the table of handler 0 says",
    ),
    (
        &["HANDLER_ID=0"],
        Code::TablesInvalid,
        "the id of handler 0 is a null pointer",
    ),
    (
        &["HANDLER_ID=\"Zoo!\""],
        Code::TablesInvalid,
        "not made of a-z0-9_-",
    ),
    (&["HANDLER_ID=\"\\377\""], Code::TablesInvalid, "not UTF-8"),
    (
        &["STREAM=(void*)4096"],
        Code::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["STREAM=(void*)&host"],
        Code::TablesInvalid,
        "says it has 0 bytes",
    ),
    (&["FLOW"], Code::TablesInvalid, "flows and no socket table"),
];

pub(crate) const INITS: &[Fault] = &[
    (
        &["INIT=return PP_E_FAIL"],
        Code::InitFailed,
        "init returned -9",
    ),
    (
        &["INIT=return PP_E_PANIC"],
        Code::InitPanicked,
        "init panicked",
    ),
    (
        &["INIT=return *(volatile int*)8"],
        Code::InitCrashed,
        "init died by SIGSEGV",
    ),
    (
        &["INIT=exit(0)"],
        Code::Exited,
        "init ended the process with 0",
    ),
];
