//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Polls until there is a value, and fails the test when there is none in time.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut value: impl FnMut() -> Option<T>) -> T {
    match until_or_never(limit, &mut value) {
        Some(answer) => answer,
        None => panic!("{what}: not within {limit:?}"),
    }
}

/// Polls until there is a value or the deadline has passed.
pub fn until_or_never<T>(limit: Duration, mut value: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = value() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(PAUSE);
    }
}

/// Sleeps for the interval of a measurement.
pub fn measure(interval: Duration) {
    let deadline = Instant::now() + interval;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}
