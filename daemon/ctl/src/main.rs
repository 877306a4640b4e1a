//! `polyportctl`: parses the command line, sends a request, prints the response.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;
use polyport_ctl::cli::Arguments;
use polyport_ctl::exit::Exit;
use polyport_ctl::request::{self, Output};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version are errors of clap too; a closed terminal is no failure.
            drop(message.print());
            let exit = if message.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
            return exit.code();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let output = match runtime {
        Ok(runtime) => runtime.block_on(request::run(&arguments)),
        Err(error) => Output {
            stdout: String::new(),
            stderr: format!("error: {error}\n"),
            exit: Exit::Io,
        },
    };
    let printed = print(io::stdout(), &output.stdout);
    // A failure of stderr cannot be reported.
    drop(print(io::stderr(), &output.stderr));
    match printed {
        Ok(()) => output.exit.code(),
        Err(error) => {
            drop(print(
                io::stderr(),
                &format!("error: the output cannot be written: {error}\n"),
            ));
            Exit::Io.code()
        }
    }
}

/// Prints a text with control characters replaced, so that none reaches the terminal. A closed pipe is no error.
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
