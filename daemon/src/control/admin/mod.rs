//! The admin socket: HTTP/1.1 with JSON for `polyportctl`, scrapers and people with `curl`.
//!
//! 1. It knows control by one bounded channel of [`Request`]s, and decides nothing: who asks is checked, what is
//!    asked is read, the answer is written.
//! 2. Whoever hangs, on either end of a request, holds up nobody else and is sent away.
//! 3. It ends when control drops its end of the channel; with it go the socket and its file.

pub mod server;
mod session;
pub mod routes;
pub mod responses;
pub mod prometheus;
pub mod access;
mod socket;

use std::fmt;
use std::time::Duration;

use polyport_api::{Drained, Outcome, Plugins, Services, Status};
use polyport_config::units::duration_text;
use tokio::sync::oneshot;

pub use polyport_sys::peer::Peer;
pub use prometheus::{Family, Kind, Metrics, Sample};
pub use server::Admin;
pub use socket::SocketHandle;

/// One thing that somebody asks of control.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Who asks.
    pub peer: Peer,
    /// Where the answer goes. It is closed once nobody waits for it any more; dropped, it says that the daemon ends.
    pub answer: oneshot::Sender<Answer>,
}

/// What can be asked of control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// [`Answer::Status`].
    Status,
    /// [`Answer::Services`].
    Services,
    /// [`Answer::Plugins`].
    Plugins,
    /// [`Answer::Metrics`].
    Metrics,
    /// [`Answer::Ready`].
    Ready,
    /// What a reload would change: [`Answer::Outcome`].
    Plan,
    /// [`Answer::Outcome`], once it is in force or undone.
    Reload {
        /// Goes back by itself unless confirmed within this time.
        confirm: Option<Duration>,
    },
    /// What was reloaded stays: [`Answer::Outcome`].
    Confirm,
    /// [`Answer::Drained`] or [`Answer::Unknown`].
    Drain {
        /// A service or an instance.
        name: String,
        /// To be answered when its last stream is gone.
        wait: bool,
    },
    /// The generation before serves again: [`Answer::Outcome`] or [`Answer::Unknown`].
    Rollback {
        /// Short name of the plugin.
        plugin: String,
    },
}

impl Command {
    /// Does it change anything? Then it waits for its result, and who asked is logged.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Reload { .. } | Self::Confirm | Self::Drain { .. } | Self::Rollback { .. }
        )
    }
}

/// As the log tells it.
impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => out.write_str("status"),
            Self::Services => out.write_str("services"),
            Self::Plugins => out.write_str("plugins"),
            Self::Metrics => out.write_str("metrics"),
            Self::Ready => out.write_str("ready"),
            Self::Plan => out.write_str("plan"),
            Self::Reload { confirm: None } => out.write_str("reload"),
            Self::Reload {
                confirm: Some(time),
            } => {
                write!(
                    out,
                    "reload, to be confirmed within {}",
                    duration_text(*time)
                )
            }
            Self::Confirm => out.write_str("confirm"),
            Self::Drain { name, .. } => write!(out, "drain {name}"),
            Self::Rollback { plugin } => write!(out, "rollback {plugin}"),
        }
    }
}

/// What control says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The daemon as a whole.
    Status(Box<Status>),
    /// Its services.
    Services(Services),
    /// Its plugins.
    Plugins(Plugins),
    /// What is measured.
    Metrics(Metrics),
    /// Does it serve, with all instances healthy? If not, why.
    Ready(Result<(), String>),
    /// How a change or a plan ended.
    Outcome(Box<Outcome>),
    /// How a drain stands.
    Drained(Box<Drained>),
    /// Nothing has that name.
    Unknown {
        /// In one sentence: `there is no plugin "kx"`.
        reason: String,
        /// The names that would do.
        known: Vec<String>,
    },
}

#[cfg(test)]
mod tests;
