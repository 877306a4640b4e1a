//! The command line of `polyportd`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// A host for network protocols: owns the sockets, loads the protocols from plugins.
#[derive(Debug, Parser)]
#[command(name = "polyportd", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 clean stop, 1 internal, 2 usage, 70 forced stop, 71 a hook overran or failed, \
73 could not bind, 78 bad configuration.\nSignals: TERM and INT stop (again: hurry), HUP reloads, USR2 hands over to the executable as it is now."
)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/polyport/polyport.yaml"
    )]
    pub config: PathBuf,

    /// Check the configuration and the plugins that it names, print every fault, and exit: 0 or 78.
    /// Opens no socket and writes nothing.
    #[arg(long)]
    pub check: bool,

    /// With --check: print nothing, the exit code tells.
    #[arg(long, requires = "check")]
    pub quiet: bool,

    /// Something else than serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands of the program, beside serving.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the SHA-256 of plugin files into their notes: from then on every damage to such a file is refused. For
    /// who builds or packages plugins, as the last step.
    Seal {
        /// Plugin files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The probe child: loads a plugin, so that its faults do not reach the daemon.
    #[command(hide = true)]
    Probe,
    /// The exec helper: replaces itself by the executable of an upgrade, with the descriptors for it.
    #[command(name = "heir", hide = true)]
    ExecHelper {
        /// The descriptors, in their order.
        #[arg(long, value_delimiter = ',')]
        descriptors: Vec<i32>,
        /// The program.
        program: PathBuf,
        /// Its name and arguments.
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::upgrade::executable::helper_arguments;

    #[test]
    fn arguments_of_the_exec_helper_are_parsed() {
        let program = PathBuf::from("/usr/bin/polyportd");
        let arguments: Vec<OsString> = ["polyportd", "--config", "/etc/a b.yaml"]
            .map(OsString::from)
            .to_vec();
        let helper = helper_arguments(&[7, 12], &program, &arguments);
        let all = std::iter::once(OsString::from("polyportd")).chain(helper);
        let Some(Command::ExecHelper {
            descriptors,
            program: to_be,
            arguments: called,
        }) = Arguments::try_parse_from(all).unwrap().command
        else {
            panic!("another command");
        };
        assert_eq!(
            (descriptors, to_be, called),
            (vec![7, 12], program, arguments)
        );
    }
}
