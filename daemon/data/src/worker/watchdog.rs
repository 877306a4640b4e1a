//! The watchdog: logs a callback that takes too long. It reads two words of each worker, which cost the worker nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use polyport_common::tasks;
use polyport_host::boundary::{CallMarker, Observation};
use polyport_host::registry::Registry;

use crate::core::Mailbox;

/// How often it looks at the workers.
const INTERVAL: Duration = Duration::from_millis(50);
/// A callback that takes longer is logged.
const OVERLONG: Duration = Duration::from_millis(100);
/// A worker whose callback takes longer gets no new streams.
const STUCK: Duration = Duration::from_secs(1);

/// One worker.
#[derive(Debug)]
struct WorkerEntry {
    marker: &'static CallMarker,
    mailbox: Arc<Mailbox>,
    /// The callback that was observed last, since when, and whether it was logged.
    last: Option<(Observation, Instant, bool)>,
}

/// The running watchdog; end it to join its thread.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Watches workers from a thread of its own; `registry` has the names of their instances.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        registry: Arc<Registry>,
        workers: impl Iterator<Item = (&'static CallMarker, Arc<Mailbox>)>,
    ) -> io::Result<Self> {
        let entry = |(marker, mailbox)| WorkerEntry {
            marker,
            mailbox,
            last: None,
        };
        let mut entries: Vec<WorkerEntry> = workers.map(entry).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = tasks::thread("watchdog", move || {
            while !is_stopped.load(Ordering::Relaxed) {
                thread::park_timeout(INTERVAL);
                entries.iter_mut().for_each(|entry| entry.check(&registry));
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
    fn check(&mut self, registry: &Registry) {
        let now = Instant::now();
        match (self.marker.observe(), &mut self.last) {
            (Some(call), Some((last, since, is_logged))) if call.word == last.word => {
                let time = now - *since;
                if time >= OVERLONG && !*is_logged {
                    *is_logged = true;
                    log(
                        registry,
                        "callback takes long: it holds up the other streams of its worker",
                        &call,
                        time,
                    );
                }
                if time >= STUCK && !self.mailbox.is_stuck() {
                    self.mailbox.set_stuck(true);
                    let message = "callback is stuck: its worker gets no new streams";
                    log(registry, message, &call, time);
                }
            }
            (call, last) => {
                if let Some((before, since, true)) = last {
                    log(registry, "callback has returned", before, now - *since);
                    self.mailbox.set_stuck(false);
                }
                *last = call.map(|call| (call, now, false));
            }
        }
    }
}

fn log(registry: &Registry, message: &str, call: &Observation, time: Duration) {
    let name = registry.name_of(call.instance);
    let (plugin, instance, generation) = name.map_or_else(Default::default, |name| {
        (name.plugin, name.instance, name.generation)
    });
    tracing::warn!(
        plugin,
        instance,
        generation,
        callback = call.callback.name(),
        about = %call.id,
        milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        "{message}"
    );
}
