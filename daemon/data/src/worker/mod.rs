//! A worker: one thread of the data side, its mailbox, its clock and its timers.

mod clock;
mod mailbox;
mod thread;
mod timers;
pub mod watchdog;
mod wheel;

pub use clock::{Clock, ManualClock};
pub use mailbox::{Accepted, Command, Mailbox};
pub use thread::{WorkerHandle, WorkerSetup, forward_phases, start};
pub(crate) use timers::{Due, Timers};
pub(crate) use wheel::TimerKey;
