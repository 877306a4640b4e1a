//! The watchdog: names a callback that takes too long. It reads two words of each worker, and costs them nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use polyport_host::boundary::{CallMarker, Observation};
use polyport_host::registry::registry;

use crate::core::Mailbox;
use polyport_common::tasks;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// A callback that takes longer is named.
const OVERLONG: Duration = Duration::from_millis(100);
/// A worker that has not come back for so long gets no new streams.
const STUCK: Duration = Duration::from_secs(1);

/// One worker as the watchdog sees it.
#[derive(Debug)]
struct WorkerEntry {
    marker: &'static CallMarker,
    mailbox: Arc<Mailbox>,
    /// The call that was seen last, since when, and whether it was named.
    seen: Option<(Observation, Instant, bool)>,
}

/// The running watchdog; end it to join its thread.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Watches these workers from a thread of its own.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        workers: impl Iterator<Item = (&'static CallMarker, Arc<Mailbox>)>,
    ) -> io::Result<Self> {
        let mut posts: Vec<WorkerEntry> = workers
            .map(|(marker, mailbox)| WorkerEntry {
                marker,
                mailbox,
                seen: None,
            })
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = tasks::thread("watchdog", move || {
            while !told.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK);
                posts.iter_mut().for_each(WorkerEntry::look);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops it and waits for its thread.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        drop(self.thread.join());
    }
}

impl WorkerEntry {
    fn look(&mut self) {
        let now = Instant::now();
        match (self.marker.observe(), &mut self.seen) {
            (Some(observation), Some((seen, since, named))) if observation.word == seen.word => {
                let time = now - *since;
                if time >= OVERLONG && !*named {
                    *named = true;
                    name(
                        "callback takes long: it holds up the other streams of its worker",
                        &observation,
                        time,
                    );
                }
                if time >= STUCK && !self.mailbox.is_stuck() {
                    self.mailbox.set_stuck(true);
                    name(
                        "callback is stuck: its worker gets no new streams",
                        &observation,
                        time,
                    );
                }
            }
            (observation, seen) => {
                if let Some((before, since, true)) = seen {
                    name("callback has returned", before, now - *since);
                    self.mailbox.set_stuck(false);
                }
                *seen = observation.map(|observation| (observation, now, false));
            }
        }
    }
}

fn name(message: &str, observation: &Observation, time: Duration) {
    let name = registry().name_of(observation.instance);
    let (plugin, instance, generation) = name.map_or_else(Default::default, |name| {
        (name.plugin, name.instance, name.generation)
    });
    tracing::warn!(
        plugin,
        instance,
        generation,
        callback = observation.callback.name(),
        about = %observation.id,
        milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        "{message}"
    );
}
