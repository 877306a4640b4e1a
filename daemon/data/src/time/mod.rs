//! Time of a worker: the clock of its turns, and a timer wheel.

mod clock;
mod wheel;

pub(crate) use clock::nanos;
pub use clock::{Clock, ManualClock};
pub(crate) use wheel::{TimerKey, Wheel};
