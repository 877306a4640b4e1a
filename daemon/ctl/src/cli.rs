//! The command line of `polyportctl`.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

const EXITS: &str = "\
Exit codes: 0 good, 1 the change failed or was refused, or the daemon is not ready, 2 usage,
69 the daemon cannot be reached or does not answer, 74 what it says is not understood, or the output cannot be written.";

const SOCKET: &str = "The admin socket of the daemon [default: $RUNTIME_DIRECTORY/admin.sock, else \
/run/polyport/admin.sock]";

/// Asks a running polyportd over its admin socket, and tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "polyportctl", version, max_term_width = 100, after_help = EXITS)]
#[command(infer_subcommands = false, disable_help_subcommand = true)]
pub struct Arguments {
    /// The admin socket of the daemon.
    #[arg(long, global = true, value_name = "PATH", help = SOCKET)]
    pub socket: Option<PathBuf>,

    /// How long to wait for the answer [default: 10s, and 120s for `plan` and for what changes something].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,

    /// What is wanted.
    #[command(subcommand)]
    pub command: Command,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Show the daemon as a whole: what it does, how the last change ended, what to look at
    Status(Format),
    /// Show the services with their sockets, streams and instances
    Services(Format),
    /// Show the plugins with every generation that is in memory, or go back to one before
    Plugins(Plugins),
    /// Show what a reload would change; changes nothing
    Plan(Format),
    /// Put the configuration and the plugins on disk in force: all of it, or nothing
    ///
    /// Waits until it is in force or undone, shows what was changed, and exits by how it ended.
    Reload {
        /// Go back by itself unless `polyportctl confirm` follows within this time: 60s, 5m
        #[arg(long, value_name = "TIME")]
        confirm: Option<String>,
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Keep what `reload --confirm` has put in force
    Confirm(Format),
    /// Take a service or an instance out of service, until the next reload brings it back
    Drain {
        /// A service or an instance
        name: String,
        /// Wait until its last stream is gone
        #[arg(long)]
        wait: bool,
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Print what is measured, in the text format of Prometheus
    Metrics,
    /// Say whether the daemon serves and every instance is healthy; 1 with the reason while not
    ///
    /// For a probe that asks whether to send clients. A daemon that drains is not ready.
    Ready,
    /// Say whether the daemon answers at all
    ///
    /// For a probe that asks whether to start it anew. A daemon that drains is alive.
    Live,
}

/// What is wanted of plugins.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Plugins {
    /// None: list.
    #[command(subcommand)]
    pub command: Option<PluginsCommand>,
    /// How to show the list.
    #[command(flatten)]
    pub format: Format,
}

/// What is wanted of plugins.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum PluginsCommand {
    /// Show them, as without a word
    List(Format),
    /// Let the generation before serve again
    Rollback {
        /// Short name of the plugin
        name: String,
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Format {
    /// Show the daemon's answer as JSON, as it is
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// The socket of `--socket`, or the default one of the service manager's daemon.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let directories = env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
        self.socket
            .clone()
            .unwrap_or_else(|| default_socket(&directories.to_string_lossy()))
    }
}

/// The service manager separates several directories by colons; the first is the main one.
fn default_socket(directories: &str) -> PathBuf {
    let first = directories.split(':').next().unwrap_or_default();
    let directory = if first.is_empty() {
        "/run/polyport"
    } else {
        first
    };
    PathBuf::from(directory).join("admin.sock")
}

/// `500ms`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write 30s, 500ms, 2m or 1h".to_owned();
    let digits = text.find(|each: char| !each.is_ascii_digit());
    let (number, unit) = text
        .split_at_checked(digits.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = number.checked_mul(factor).filter(|millis| *millis > 0);
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parsed(line: &str) -> Arguments {
        let words = line.split_whitespace();
        Arguments::try_parse_from(std::iter::once("polyportctl").chain(words)).unwrap()
    }

    #[test]
    fn cli_definition_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn cli_words_are_parsed() {
        let json = Format { json: true };
        assert_eq!(parsed("status --json").command, Command::Status(json));
        let list = |command, format| Command::Plugins(Plugins { command, format });
        assert_eq!(parsed("plugins --json").command, list(None, json));
        let listing = Some(PluginsCommand::List(json));
        assert_eq!(
            parsed("plugins list --json").command,
            list(listing, Format::default())
        );
        let arguments = parsed("drain kv --wait --timeout 90s --socket /x");
        assert_eq!(arguments.timeout, Some(Duration::from_secs(90)));
        assert_eq!(arguments.socket(), PathBuf::from("/x"));
        let before = parsed("--socket /x status");
        assert_eq!(before.socket(), PathBuf::from("/x"));
    }

    #[test]
    fn cli_socket_defaults_to_the_runtime_directory() {
        assert_eq!(
            default_socket(""),
            PathBuf::from("/run/polyport/admin.sock")
        );
        assert_eq!(
            default_socket("/run/a:/run/b"),
            PathBuf::from("/run/a/admin.sock")
        );
    }

    #[test]
    fn cli_times_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "30", "s", "0s", "1m30s", "-1s", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
