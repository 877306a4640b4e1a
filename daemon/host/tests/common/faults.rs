//! The zoo's faults that only show when it runs.

use polyport_host::load_error::LoadErrorCode;

/// Macros of the zoo, the code of the refusal, and words in it.
pub(crate) type Fault = (&'static [&'static str], LoadErrorCode, &'static str);

pub(crate) const CONSTRUCTORS: &[Fault] = &[
    (
        &["CTOR=*(volatile int*)8=1"],
        LoadErrorCode::ConstructorCrashed,
        "SIGSEGV",
    ),
    (
        &["CTOR=abort()"],
        LoadErrorCode::ConstructorCrashed,
        "SIGABRT",
    ),
    (&["CTOR=exit(0)"], LoadErrorCode::Exited, "with 0"),
    (&["CTOR=_exit(3)"], LoadErrorCode::Exited, "with 3"),
];

pub(crate) const TABLES: &[Fault] = &[
    (
        &["RETURN=return 0"],
        LoadErrorCode::TablesInvalid,
        "the table of the plugin is a null pointer",
    ),
    (
        &["RETURN=return (void*)8"],
        LoadErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=return (void*)-8"],
        LoadErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["RETURN=abort()"],
        LoadErrorCode::TablesInvalid,
        "its entry function died by SIGABRT",
    ),
    (
        &["TABLE_SIZE=4"],
        LoadErrorCode::TablesInvalid,
        "says it has 4 bytes",
    ),
    (
        &["TABLE_SIZE=72"],
        LoadErrorCode::TablesInvalid,
        "says it has 72 bytes",
    ),
    (
        &["TABLE_SIZE=1<<20"],
        LoadErrorCode::TablesInvalid,
        "says it has 1048576 bytes",
    ),
    (
        &["TABLE_ID=\"org.example.other\""],
        LoadErrorCode::TablesInvalid,
        "in the note",
    ),
    (
        &["TABLE_ID=0"],
        LoadErrorCode::TablesInvalid,
        "the id of the plugin is a null pointer",
    ),
    (&["TABLE_MAJOR=2"], LoadErrorCode::AbiTooNew, "ABI 2"),
    (
        &["COUNT=0"],
        LoadErrorCode::TablesInvalid,
        "it offers 0 handlers",
    ),
    (
        &["COUNT=65"],
        LoadErrorCode::TablesInvalid,
        "it offers 65 handlers",
    ),
    (
        &["COUNT=2"],
        LoadErrorCode::TablesInvalid,
        "two of its handlers are called zoo",
    ),
    (
        &["HANDLER_SIZE=64"],
        LoadErrorCode::TablesInvalid,
        "the table of handler 0 says",
    ),
    (
        &["HANDLER_ID=0"],
        LoadErrorCode::TablesInvalid,
        "the id of handler 0 is a null pointer",
    ),
    (
        &["HANDLER_ID=\"Zoo!\""],
        LoadErrorCode::TablesInvalid,
        "not made of a-z0-9_-",
    ),
    (
        &["HANDLER_ID=\"\\377\""],
        LoadErrorCode::TablesInvalid,
        "not UTF-8",
    ),
    (
        &["STREAM=(void*)4096"],
        LoadErrorCode::TablesInvalid,
        "reading its tables died by SIGSEGV",
    ),
    (
        &["STREAM=(void*)&host"],
        LoadErrorCode::TablesInvalid,
        "says it has 0 bytes",
    ),
    (
        &["FLOW"],
        LoadErrorCode::TablesInvalid,
        "flows and no socket table",
    ),
];

pub(crate) const INITS: &[Fault] = &[
    (
        &["INIT=return PP_E_FAIL"],
        LoadErrorCode::InitFailed,
        "init returned -9",
    ),
    (
        &["INIT=return PP_E_PANIC"],
        LoadErrorCode::InitPanicked,
        "init panicked",
    ),
    (
        &["INIT=return *(volatile int*)8"],
        LoadErrorCode::InitCrashed,
        "init died by SIGSEGV",
    ),
    (
        &["INIT=exit(0)"],
        LoadErrorCode::Exited,
        "init ended the process with 0",
    ),
];
