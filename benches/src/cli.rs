//! The command line: the bench's own options, and the hidden parts that it starts itself as.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Measures polyportd, a plain tokio server and a C reference in turns, and prints ratios.
#[derive(Debug, Parser)]
#[command(
    name = "polyport-bench",
    version,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    /// The part to play; without one, the bench.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// The bench's options.
    #[command(flatten)]
    pub(crate) bench: BenchOptions,
}

/// The parts that the bench starts itself as.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Loads one server with one case and prints the outcome as JSON.
    #[command(hide = true)]
    Load(LoadOptions),
    /// The plain tokio echo server.
    #[command(hide = true)]
    ServeTokio(ServeOptions),
    /// Becomes the given command, which ends when the bench does.
    #[command(hide = true)]
    Guard {
        /// Program and arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// The polyportd to measure; without it, its rows are left out
    #[arg(long, value_name = "PATH", requires = "plugin_path")]
    pub(crate) daemon: Option<PathBuf>,
    /// The folder that holds the echo plugin
    #[arg(long, value_name = "DIR", requires = "daemon")]
    pub(crate) plugin_path: Option<PathBuf>,
    /// Another polyportd, measured in the same rounds: each case ends with the ratio to it
    #[arg(long, value_name = "PATH", requires = "daemon")]
    pub(crate) baseline: Option<PathBuf>,
    /// Its folder of plugins; by default `plugins` beside it, else that of --plugin-path
    #[arg(long, value_name = "DIR", requires = "baseline")]
    pub(crate) baseline_plugins: Option<PathBuf>,
    /// Servers to leave out, by their name in the table; the reference cannot be left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// Rounds; in each round every server is measured once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Seconds that each server is measured in each round
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Threads of each server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,
    /// Cases or groups of cases, by name; `all` adds those that are not in the default run
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Also write every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The options of the load generator.
#[derive(Debug, Args)]
pub(crate) struct LoadOptions {
    /// The case, by name.
    #[arg(long)]
    pub(crate) case: String,
    /// The server's port on 127.0.0.1.
    #[arg(long)]
    pub(crate) port: u16,
    /// The server process, whose CPU time is read.
    #[arg(long)]
    pub(crate) server: i32,
    /// How long to measure, in milliseconds.
    #[arg(long)]
    pub(crate) measure_ms: u64,
    /// How long to run before that, in milliseconds.
    #[arg(long)]
    pub(crate) warmup_ms: u64,
    /// Operations a second, for a case that offers a fixed rate.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
}

/// The options of the plain tokio server.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// The port on 127.0.0.1, for TCP and UDP.
    #[arg(long)]
    pub(crate) port: u16,
    /// One: a `current_thread` runtime. More: the work-stealing runtime.
    #[arg(long)]
    pub(crate) workers: u16,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be from 0.1 to 600".to_owned())
    }
}
