//! The end of streams: how a stream closes, and how many drains begin at a time.

mod close;
mod pacer;

pub(crate) use close::{conclude, finish_lingering, release};
pub(crate) use pacer::Pacer;
