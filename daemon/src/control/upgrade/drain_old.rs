//! The end of the old process after a hand-over: for half of the grace period its streams, and those of the processes
//! before it, may end by themselves. In the other half they are drained as in any stop.

use std::time::{Duration, Instant};

use polyport_sys::signals::Signal;

use super::messages::Message;
use super::{NewProcess, OldProcess};
use crate::control::data_plane::DataPlane;
use crate::control::signals::{Signals, name_of};

/// How often the number of streams is checked.
const STREAMS_POLL: Duration = Duration::from_millis(50);

/// Waits until no stream is left here and in the process before this one (`older`), until half of the time to `deadline`
/// is over, or for a signal or message to stop.
pub async fn drain_old_process(
    plane: &DataPlane,
    older: Option<&OldProcess>,
    new: &mut NewProcess,
    signals: &mut Signals,
    deadline: Instant,
) {
    let left = deadline.saturating_duration_since(Instant::now());
    let undisturbed_until = Instant::now() + left / 2;
    tracing::info!(
        process = new.pid(),
        streams = plane.live(),
        grace_seconds = left.as_secs_f64(),
        "handed over: the streams that are left may end"
    );
    let has_streams = || plane.live() != 0 || older.is_some_and(OldProcess::is_draining);
    let mut connected = true;
    while has_streams() && Instant::now() < undisturbed_until {
        tokio::select! {
            message = new.receive(), if connected => match message {
                Some(Message::Stop) => return,
                Some(_) => {}
                None => connected = false,
            },
            signal = signals.next() => match signal {
                Signal::Term | Signal::Int => {
                    tracing::info!(name = name_of(signal), "signal");
                    return;
                }
                other => tracing::warn!(
                    name = name_of(other),
                    process = new.pid(),
                    "signal: another process serves, send it there"
                ),
            },
            (number, _) = plane.worker_ended() => {
                tracing::error!(worker = number, "a worker has failed; its streams are lost");
                return;
            }
            () = tokio::time::sleep(STREAMS_POLL) => {}
        }
    }
}
