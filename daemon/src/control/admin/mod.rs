//! The admin socket: HTTP/1.1 with JSON for `polyportctl`, scrapers and people with `curl`.
//!
//! 1. It decides nothing: it checks the peer, parses the request, sends it to the supervisor by a bounded channel, and
//!    writes the answer.
//! 2. A peer that hangs blocks no other one, and is disconnected.
//! 3. It ends when control drops the receiver of the channel; the socket and its file go with it.

pub mod server;
mod session;
pub mod routes;
pub mod responses;
pub mod prometheus;
pub mod access;
mod socket;

use std::time::Duration;

use polyport_api::{Drained, Outcome, Plugins, Services, Status};
use polyport_config::units::duration_text;
use tokio::sync::oneshot;

pub use polyport_sys::peer::PeerCredentials;
pub use prometheus::{Family, Kind, Metrics, Sample};
pub use server::Admin;
pub use socket::SocketHandle;

/// A request to the supervisor.
#[derive(Debug)]
pub struct Request {
    /// What is requested.
    pub command: Command,
    /// Who requests it.
    pub peer: PeerCredentials,
    /// Closed when the peer has disconnected. Dropping it answers that the daemon ends.
    pub answer: oneshot::Sender<Answer>,
}

/// What can be requested.
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
    /// Describes what a reload would change: [`Answer::Outcome`].
    Plan,
    /// [`Answer::Outcome`], when it is in force or rolled back.
    Reload {
        /// Undone unless confirmed within this time.
        confirm: Option<Duration>,
    },
    /// Confirms the last reload: [`Answer::Outcome`].
    Confirm,
    /// [`Answer::Drained`] or [`Answer::Unknown`].
    Drain {
        /// Name of a service or an instance.
        name: String,
        /// Answer when its last stream has ended.
        wait: bool,
    },
    /// Lets the previous generation serve again: [`Answer::Outcome`] or [`Answer::Unknown`].
    Rollback {
        /// Short name of the plugin.
        plugin: String,
    },
}

impl Command {
    /// The command for the log if it changes anything. Such a command may take long, and its peer is logged.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::Reload { confirm: None } => Some("reload".to_owned()),
            Self::Reload {
                confirm: Some(time),
            } => {
                let time = duration_text(*time);
                Some(format!("reload, to be confirmed within {time}"))
            }
            Self::Confirm => Some("confirm".to_owned()),
            Self::Drain { name, .. } => Some(format!("drain {name}")),
            Self::Rollback { plugin } => Some(format!("rollback {plugin}")),
            Self::Status
            | Self::Services
            | Self::Plugins
            | Self::Metrics
            | Self::Ready
            | Self::Plan => None,
        }
    }
}

/// The answer of the supervisor.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The daemon as a whole.
    Status(Box<Status>),
    /// Its services.
    Services(Services),
    /// Its plugins.
    Plugins(Plugins),
    /// The metrics.
    Metrics(Metrics),
    /// Whether the daemon serves with all instances healthy, or why not.
    Ready(Result<(), String>),
    /// How a change or a plan ended.
    Outcome(Box<Outcome>),
    /// The state of a drain.
    Drained(Box<Drained>),
    /// There is nothing of this name.
    Unknown {
        /// In one sentence: `there is no plugin "kx"`.
        reason: String,
        /// The names that exist.
        known: Vec<String>,
    },
}

#[cfg(test)]
mod tests;
