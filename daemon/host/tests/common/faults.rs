//! The zoo's faults that only show when it runs.

use polyport_host::load_error::ErrorCode;

/// Macros of the zoo, the code of the refusal, and words in it.
pub(crate) type Fault = (&'static [&'static str], ErrorCode, &'static str);

pub(crate) const CONSTRUCTORS: &[Fault] = &[
    (
        &["CTOR=*(volatile int*)8=1"],
        ErrorCode::ConstructorCrashed,
        "SIGSEGV",
    ),
    (&["CTOR=abort()"], ErrorCode::ConstructorCrashed, "SIGABRT"),
    (&["CTOR=exit(0)"], ErrorCode::Exited, "with 0"),
    (&["CTOR=_exit(3)"], ErrorCode::Exited, "with 3"),
];

pub(crate) const TABLES: &[Fault] = &[
    (
        &["RETURN=return 0"],
        ErrorCode::TablesInvalid,
        "the table of the plugin is a null pointer",
    ),
    (
        &["RETURN=return (void*)8"],
        ErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=return (void*)-8"],
        ErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=abort()"],
        ErrorCode::TablesInvalid,
        "its entry function died by SIGABRT",
    ),
    (
        &["TABLE_SIZE=4"],
        ErrorCode::TablesInvalid,
        "says it has 4 bytes",
    ),
    (
        &["TABLE_SIZE=72"],
        ErrorCode::TablesInvalid,
        "says it has 72 bytes",
    ),
    (
        &["TABLE_SIZE=1<<20"],
        ErrorCode::TablesInvalid,
        "says it has 1048576 bytes",
    ),
    (
        &["TABLE_ID=\"org.example.other\""],
        ErrorCode::TablesInvalid,
        "in the note",
    ),
    (
        &["TABLE_ID=0"],
        ErrorCode::TablesInvalid,
        "the id of the plugin is a null pointer",
    ),
    (&["TABLE_MAJOR=2"], ErrorCode::AbiTooNew, "ABI 2"),
    (
        &["COUNT=0"],
        ErrorCode::TablesInvalid,
        "it offers 0 handlers",
    ),
    (
        &["COUNT=65"],
        ErrorCode::TablesInvalid,
        "it offers 65 handlers",
    ),
    (
        &["COUNT=2"],
        ErrorCode::TablesInvalid,
        "two of its handlers are called zoo",
    ),
    (
        &["HANDLER_SIZE=64"],
        ErrorCode::TablesInvalid,
        "the table of handler 0 says",
    ),
    (
        &["HANDLER_ID=0"],
        ErrorCode::TablesInvalid,
        "the id of handler 0 is a null pointer",
    ),
    (
        &["HANDLER_ID=\"Zoo!\""],
        ErrorCode::TablesInvalid,
        "not made of a-z0-9_-",
    ),
    (
        &["HANDLER_ID=\"\\377\""],
        ErrorCode::TablesInvalid,
        "not UTF-8",
    ),
    (
        &["STREAM=(void*)4096"],
        ErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["STREAM=(void*)&host"],
        ErrorCode::TablesInvalid,
        "says it has 0 bytes",
    ),
    (
        &["FLOW"],
        ErrorCode::TablesInvalid,
        "flows and no socket table",
    ),
];

pub(crate) const INITS: &[Fault] = &[
    (
        &["INIT=return PP_E_FAIL"],
        ErrorCode::InitFailed,
        "init returned -9",
    ),
    (
        &["INIT=return PP_E_PANIC"],
        ErrorCode::InitPanicked,
        "init panicked",
    ),
    (
        &["INIT=return *(volatile int*)8"],
        ErrorCode::InitCrashed,
        "init died by SIGSEGV",
    ),
    (
        &["INIT=exit(0)"],
        ErrorCode::Exited,
        "init ended the process with 0",
    ),
];
