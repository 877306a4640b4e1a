//! The command line of `polyportd`.

use std::path::PathBuf;

use clap::Parser;

/// A host for network protocols: owns the sockets, loads the protocols from plugins.
#[derive(Debug, Parser)]
#[command(name = "polyportd", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 clean stop, 1 internal, 2 usage, 70 forced stop, 71 a hook overran or failed, \
73 could not bind, 78 bad configuration.\nSignals: TERM and INT stop (again: hurry), HUP reloads."
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

/// What the program does beside serving.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the SHA-256 of plugin files into their notes: from then on every damage to such a file is refused. For
    /// who builds or packages plugins, as the last step.
    Seal {
        /// Plugin files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Loads a plugin in a child of the daemon's own, so that its faults cost nothing.
    #[command(hide = true)]
    Probe,
}
