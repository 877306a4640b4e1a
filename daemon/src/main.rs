//! `polyportd`: a host for network protocols. Each step below says what it needs from the one before.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use polyport_daemon::cli::{Arguments, Command};
use polyport_daemon::control::service_manager::ServiceManager;
use polyport_daemon::control::upgrade::executable::exec_program;
use polyport_daemon::control::upgrade::{Executable, InheritedFds};
use polyport_daemon::control::{self, Exit};
use polyport_sys::{inherit, signals};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version come this way too; a closed terminal is no reason to fail.
            drop(message.print());
            return if message.use_stderr() {
                Exit::Usage.code()
            } else {
                Exit::Clean.code()
            };
        }
    };
    match arguments.command {
        Some(Command::Probe) => return polyport_host::probe::probe_child(),
        Some(Command::Seal { files }) => return control::seal(&files).code(),
        Some(Command::ExecHelper {
            descriptors,
            program,
            words,
        }) => {
            let error = exec_program(&descriptors, &program, &words);
            drop(writeln!(
                std::io::stderr(),
                "{}: {error}",
                program.display()
            ));
            return Exit::Internal.code();
        }
        None => {}
    }
    if arguments.check {
        return control::check(&arguments.config, arguments.quiet).code();
    }
    // Before any thread exists, so that no signal can take its default action.
    if let Err(error) = signals::block_all() {
        drop(writeln!(
            std::io::stderr(),
            "error: signals cannot be blocked: {error}"
        ));
        return Exit::Internal.code();
    }
    // All of it is for this process alone, not for its children.
    let manager = ServiceManager::from_environment();
    let executable = Executable::of_this_process();
    let inherited = InheritedFds::sort(inherit::descriptors());
    if !inherit::remove_variables() {
        // A library that was preloaded may have started a thread. The daemon's own children get none of them anyway.
        drop(writeln!(
            std::io::stderr(),
            "warning: another thread runs already, so what plugins start gets NOTIFY_SOCKET and the like"
        ));
    }
    control::run(&arguments.config, manager, executable, inherited).code()
}
