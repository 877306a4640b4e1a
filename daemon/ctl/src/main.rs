//! `polyportctl`: reads the command line, asks the daemon, prints what comes back.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;
use polyport_ctl::cli::Arguments;
use polyport_ctl::errand::{self, Report};
use polyport_ctl::exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version come this way too; a closed terminal is no reason to fail.
            drop(message.print());
            let exit = if message.use_stderr() {
                Exit::Usage
            } else {
                Exit::Good
            };
            return exit.code();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let report = match runtime {
        Ok(runtime) => runtime.block_on(errand::run(&arguments)),
        Err(error) => Report {
            output: String::new(),
            complaint: format!("error: {error}\n"),
            exit: Exit::Trouble,
        },
    };
    let printed = print(io::stdout(), &report.output);
    // There is nobody left to tell if this fails.
    drop(print(io::stderr(), &report.complaint));
    match printed {
        Ok(()) => report.exit.code(),
        Err(error) => {
            drop(print(
                io::stderr(),
                &format!("error: the output cannot be written: {error}\n"),
            ));
            Exit::Trouble.code()
        }
    }
}

/// Prints a text, each character that would command the terminal made visible. A reader that has gone is no fault.
fn print(mut to: impl Write, text: &str) -> io::Result<()> {
    let shown: String = text
        .chars()
        .map(|each| match each {
            '\n' | '\t' => each,
            other if other.is_control() => '\u{fffd}',
            other => other,
        })
        .collect();
    match to.write_all(shown.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
