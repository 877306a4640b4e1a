//! The thread of a worker: turns of its engine until the shutdown is done.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use polyport_common::shutdown::{Phase, Phases};
use polyport_common::tasks;
use polyport_common::wait_group::Token;
use polyport_host::boundary::CallMarker;
use polyport_host::registry::Registry;
use polyport_host::wake_table::WakeTable;
use tokio::sync::mpsc;

use super::Worker;
use crate::core::{Command, Mailbox};
use crate::time::Clock;

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerSetup {
    /// Its number, also in ids.
    pub number: u8,
    /// Its ids and their pending wakes.
    pub wake_table: Arc<WakeTable>,
    /// The registry of the instances that it serves.
    pub registry: Arc<Registry>,
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// The mailboxes of all workers, by number.
    pub peers: Arc<[Arc<Mailbox>]>,
    /// Dropped when the worker has ended: the acknowledgement of the shutdown.
    pub present: Token,
    /// Gets the worker's number when its thread ends, and the error unless that was the shutdown.
    pub ended: mpsc::Sender<(u8, io::Result<()>)>,
}

/// A running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// The callback that it is in, for the watchdog.
    pub marker: &'static CallMarker,
    /// To be joined once `ended` got its number.
    pub thread: JoinHandle<()>,
}

/// Starts a worker.
///
/// # Errors
/// The system has no more threads or descriptors.
pub fn start(setup: WorkerSetup) -> io::Result<WorkerHandle> {
    let mailbox = Arc::clone(&setup.mailbox);
    // Leaked: threads of plugins may outlive the worker, and the watchdog reads it at any time.
    let marker: &'static CallMarker = Box::leak(Box::default());
    let name = format!("worker-{}", setup.number);
    let thread = tasks::thread(&name, move || {
        let WorkerSetup { number, ended, .. } = &setup;
        let (number, ended) = (*number, ended.clone());
        // A panic here is a fault of the daemon, which control has to learn of all the same.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(setup, marker)))
            .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        drop(ended.blocking_send((number, result)));
    })?;
    Ok(WorkerHandle {
        mailbox,
        marker,
        thread,
    })
}

fn run(setup: WorkerSetup, marker: &'static CallMarker) -> io::Result<()> {
    let WorkerSetup {
        number,
        wake_table,
        registry,
        mailbox,
        peers,
        present: _present,
        ..
    } = setup;
    let mut worker = Worker::new(number, wake_table, mailbox, peers, Clock::monotonic())?;
    worker.with_host(&registry, marker, |worker| {
        while !worker.is_done() {
            marker.rest();
            worker.turn(worker.sleep())?;
        }
        marker.rest();
        Ok(())
    })
}

/// Sends each announced phase to these workers as a command. Returns after the last phase; control runs it as a task.
pub async fn forward_phases(mut phases: Phases, workers: Arc<[Arc<Mailbox>]>) {
    loop {
        let phase = phases.next().await;
        for mailbox in &*workers {
            drop(mailbox.send(Command::Phase(phase)));
        }
        if phase == Phase::Force {
            return;
        }
    }
}
