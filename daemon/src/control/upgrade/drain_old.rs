//! After a hand-over: the old process waits until the last of its streams have ended, and those of the processes before
//! it. It lets them be for half of the grace; in the other half they are drained, as in any stop.

use std::time::{Duration, Instant};

use polyport_sys::signals::Signal;

use crate::control::life::Life;
use crate::control::running::hooks::next;
use crate::control::signals::{Signals, name_of};
use crate::control::upgrade::messages::Message;
use crate::control::upgrade::new_process::NewProcess;
use crate::control::upgrade::old_process::OldProcess;

/// How often is looked whether there are streams.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until nothing lives, half of the grace that ends at `deadline` is over, or somebody says that it is time.
pub async fn drain_old_process(
    life: &Life,
    new_process: &mut NewProcess,
    signals: &mut Signals,
    deadline: Instant,
) {
    let left = deadline.saturating_duration_since(Instant::now());
    let patience = Instant::now() + left / 2;
    tracing::info!(
        process = new_process.pid(),
        streams = life.live(),
        grace_seconds = left.as_secs_f64(),
        "handed over: the streams that are left may end"
    );
    let mut hears = true;
    while is_needed(life) && Instant::now() < patience {
        tokio::select! {
            word = new_process.receive(), if hears => match word {
                Some(Message::Stop) => return,
                Some(_) => {}
                None => hears = false,
            },
            signal = next(signals) => match signal {
                Signal::Term | Signal::Int => {
                    tracing::info!(name = name_of(signal), "signal");
                    return;
                }
                other => tracing::warn!(
                    name = name_of(other),
                    process = new_process.pid(),
                    "signal: another process serves, send it there"
                ),
            },
            (number, _) = life.worker_ended() => {
                tracing::error!(worker = number, "a worker has failed; its streams are lost");
                return;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Are there streams here, or in a process before this one? It is known to nobody but this one.
fn is_needed(life: &Life) -> bool {
    life.live() != 0
        || life
            .old_process
            .as_ref()
            .is_some_and(OldProcess::is_draining)
}
