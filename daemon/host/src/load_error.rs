//! Why a file is not used as a plugin: one line for people, one code for machines.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The kind of a [`LoadError`]. Its kebab-case form is stable (metrics, `--json`, tests).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// No such file, or no such plugin on the plugin path.
    NotFound,
    /// It cannot be opened or read, or is not a regular file.
    Unreadable,
    /// Longer than a plugin may be.
    TooLarge,
    /// It changed while it was read.
    Unstable,
    /// Others than its owner or root can change it.
    UnsafeOwner,
    /// The system does not allow to map a private copy.
    Noexec,

    /// Not an ELF file.
    NotElf,
    /// The end of the file is missing.
    Truncated,
    /// Its ELF tables contradict each other or point outside of the file.
    Damaged,
    /// The seal in the note is not that of the file.
    SealBroken,
    /// For another machine, or of another word size.
    WrongMachine,
    /// A program or an object file.
    NotSharedObject,
    /// Writable code, an executable stack, or text relocations.
    UnsafeImage,
    /// It carries the runtime of Go, which does not share a process.
    GoRuntime,
    /// It has no note, so it was not built as a plugin.
    NoNote,
    /// It has a note and does not export the entry.
    NoEntry,
    /// Built for a later major version.
    AbiTooNew,
    /// Built for an earlier major version.
    AbiTooOld,
    /// It needs more of `pp_host` than this host has.
    HostTooSmall,
    /// A panic in it would end the process.
    PanicAbort,

    /// Symbols or libraries that it needs cannot be found.
    MissingSymbols,
    /// The dynamic linker refused it.
    OpenFailed,
    /// A constructor died by a signal.
    ConstructorCrashed,
    /// A constructor did not return in time.
    ConstructorHung,
    /// It ended the process that tried it.
    Exited,
    /// Its tables cannot be read or break the contract.
    TablesInvalid,
    /// `init` returned an error.
    InitFailed,
    /// `init` caught a panic.
    InitPanicked,
    /// `init` died by a signal.
    InitCrashed,
    /// `init` did not return in time.
    InitOverran,
    /// `validate` died by a signal.
    ValidateCrashed,
    /// `validate` did not return in time.
    ValidateOverran,
    /// `fini` returned an error.
    FiniFailed,
    /// `fini` did not return in time.
    FiniOverran,
    /// The probe itself could not be run.
    ProbeFailed,
    /// Too many threads of this process are inside plugins that did not return.
    LeftBehind,
}

impl ErrorCode {
    /// What the operator can do about it: the second half of the line.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotFound => "install it, or correct the name or daemon.plugin-path",
            Self::Unreadable => "make it a regular file that the daemon's user may read",
            Self::TooLarge => "strip the plugin",
            Self::Unstable => "copy to another name, then rename into place and reload",
            // The reason says which command to run.
            Self::UnsafeOwner => "",
            Self::Noexec => {
                "allow to map memfds as code (sysctl vm.memfd_noexec below 2, no policy against it)"
            }
            Self::NotElf => "give the path of a shared object",
            Self::Truncated => "copy the whole file, under another name first, then rename it",
            Self::Damaged => "build or copy the file again",
            Self::SealBroken => {
                "get the file again from its source, or seal it again after a change"
            }
            Self::WrongMachine => "build it for the machine of this daemon",
            Self::NotSharedObject => "link it with -shared",
            Self::UnsafeImage => "link it with -fPIC -z noexecstack -z separate-code",
            Self::GoRuntime => "run it as a program of its own",
            Self::NoNote => "put PP_PLUGIN_NOTE(...) or the SDK's export macro into it and rebuild",
            Self::NoEntry => "define polyport_plugin_v1 with PP_EXPORT and rebuild",
            Self::AbiTooNew => "update this daemon, or rebuild the plugin against its headers",
            Self::AbiTooOld => "rebuild the plugin against the headers of this daemon",
            Self::HostTooSmall => "update this daemon, or test with PP_HAS and require less",
            Self::PanicAbort => "rebuild it with panic = \"unwind\"",
            Self::MissingSymbols => "install what is missing, or link it into the plugin",
            Self::OpenFailed => "rebuild the plugin on this system",
            Self::ConstructorCrashed | Self::ConstructorHung => "correct its constructors",
            Self::Exited => "a plugin must never end the process: correct it",
            Self::TablesInvalid => "correct the tables that polyport_plugin_v1 returns",
            Self::InitFailed | Self::InitPanicked | Self::InitCrashed | Self::InitOverran => {
                "see the plugin's own log lines, and correct init"
            }
            Self::ValidateCrashed | Self::ValidateOverran => {
                "correct the plugin's validate, or the configuration that it met"
            }
            Self::FiniFailed | Self::FiniOverran => "correct the plugin's fini",
            Self::ProbeFailed => "see the reason; the plugin itself may be good",
            Self::LeftBehind => "correct or remove those plugins, and restart the daemon",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A plugin that is not used, and why. `Display` is one line: file, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{what}{}", prefix(file), suffix(*code))]
pub struct LoadError {
    code: ErrorCode,
    file: String,
    what: String,
}

impl LoadError {
    /// An error without the name of its file. Control characters in `what` become spaces.
    pub fn new(code: ErrorCode, what: impl AsRef<str>) -> Self {
        let file = String::new();
        Self {
            code,
            file,
            what: one_line(what.as_ref()),
        }
    }

    /// The same error with the name of its file, unless it has one.
    #[must_use]
    pub fn of(mut self, file: impl AsRef<Path>) -> Self {
        if self.file.is_empty() {
            self.file = one_line(&file.as_ref().display().to_string());
        }
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What is wrong, without the file and without what to do.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The file as it was named, or empty.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

pub(crate) fn damaged(what: impl AsRef<str>) -> LoadError {
    LoadError::new(ErrorCode::Damaged, what)
}

pub(crate) fn truncated(what: impl AsRef<str>) -> LoadError {
    LoadError::new(ErrorCode::Truncated, what)
}

/// A text of a plugin or of the system as part of one log line.
pub(crate) fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(clean).take(MAX_WHAT).collect()
}

fn prefix(file: &str) -> String {
    if file.is_empty() {
        String::new()
    } else {
        format!("{file}: ")
    }
}

fn suffix(code: ErrorCode) -> String {
    let remedy = code.remedy();
    if remedy.is_empty() {
        String::new()
    } else {
        format!("; {remedy}")
    }
}

/// Characters of one part of a line; a thousand missing symbols are no help to anyone.
const MAX_WHAT: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_error_is_one_line_with_file_reason_and_remedy() {
        let error = LoadError::new(ErrorCode::NotElf, "starts with\n\"#!/bin/sh\"").of("/lib/x.so");
        assert_eq!(
            error.to_string(),
            "/lib/x.so: starts with \"#!/bin/sh\"; give the path of a shared object"
        );
        assert_eq!(error.code().to_string(), "not-elf");
        assert_eq!(error.clone().of("/other").file(), "/lib/x.so");
    }

    #[test]
    fn load_error_codes_survive_serialisation() {
        let error = LoadError::new(ErrorCode::AbiTooNew, "major 2");
        let text = serde_json::to_string(&error).unwrap();
        assert!(text.contains("\"abi-too-new\""), "{text}");
        assert_eq!(serde_json::from_str::<LoadError>(&text).unwrap(), error);
    }
}
