//! `polyportd`: a host for network protocols.
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
    let options = match Arguments::try_parse() {
        Ok(options) => options,
        Err(message) => {
            // Help and version are such messages too. A closed terminal is not an error.
            drop(message.print());
            return if message.use_stderr() {
                Exit::Usage.code()
            } else {
                Exit::Clean.code()
            };
        }
    };
    match options.command {
        Some(Command::Probe) => return polyport_host::probe::probe_child(),
        Some(Command::Seal { files }) => return control::seal(&files).code(),
        Some(Command::ExecHelper {
            descriptors,
            program,
            arguments,
        }) => {
            let error = exec_program(&descriptors, &program, &arguments);
            drop(writeln!(
                std::io::stderr(),
                "{}: {error}",
                program.display()
            ));
            return Exit::Internal.code();
        }
        None => {}
    }
    if options.check {
        return control::check(&options.config, options.quiet).code();
    }
    // Before any thread exists, so that no signal has its default effect.
    if let Err(error) = signals::block_all() {
        drop(writeln!(
            std::io::stderr(),
            "error: signals cannot be blocked: {error}"
        ));
        return Exit::Internal.code();
    }
    // Variables and descriptors for this process alone are taken out of the environment.
    let manager = ServiceManager::from_environment();
    let executable = Executable::of_this_process();
    let inherited = InheritedFds::new(inherit::descriptors());
    if !inherit::remove_variables() {
        // A preloaded library may have started a thread. Children of the daemon itself do not get the variables anyway.
        drop(writeln!(
            std::io::stderr(),
            "warning: another thread runs already, so what plugins start gets NOTIFY_SOCKET and the like"
        ));
    }
    control::run(&options.config, manager, executable, inherited).code()
}
