//! What the daemon reports of itself: listings, metrics, history.

pub mod listing;
pub mod metrics;
pub mod history;
