//! What the daemon reports of itself: listings, metrics and past changes.

pub mod listing;
pub mod metrics;
pub mod history;

use polyport_api::status::State;

use super::process::Context;
use history::History;

/// What reports are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The process and what runs in it.
    pub context: Context<'a>,
    /// The past changes.
    pub history: &'a History,
    /// What operators took out of service.
    pub drained: &'a [String],
    /// Seconds until an unconfirmed reload is undone.
    pub confirm_within_seconds: Option<u64>,
    /// An operation is executed.
    pub busy: bool,
    /// The daemon stops.
    pub stopping: bool,
}

impl Facts<'_> {
    fn state(&self) -> State {
        if self.stopping {
            State::Draining
        } else if self.context.inventory.state().number == 0 {
            State::Starting
        } else if self.busy {
            State::Reloading
        } else {
            State::Ready
        }
    }
}
