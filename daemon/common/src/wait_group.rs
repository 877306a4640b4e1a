//! Counts who still uses or works on something, and waits for the last of them.

pub use tokio_util::task::TaskTracker as WaitGroup;
pub use tokio_util::task::task_tracker::TaskTrackerToken as Token;

/// An empty group, closed from the start: [`WaitGroup::wait`] returns whenever no [`Token`] exists, and tokens can
/// be taken again afterwards.
#[must_use]
pub fn wait_group() -> WaitGroup {
    let group = WaitGroup::new();
    group.close();
    group
}
