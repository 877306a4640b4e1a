//! A worker: an OS thread with a tokio `current_thread` runtime that drives one engine until the shutdown is done.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;

use polyport_host::boundary::{self, CallMarker};
use polyport_host::wake_table::WakeTable;
use polyport_sys::pollable::pollable;
use tokio::sync::mpsc;

use super::engine::{Command, Engine, Mailbox};
use polyport_common::shutdown::{Phase, Watch};
use polyport_common::tasks;

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerSetup {
    /// Its number, also in ids.
    pub number: u8,
    /// Its directory.
    pub directory: Arc<WakeTable>,
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// The mailboxes of all workers, by number.
    pub peers: Arc<[Arc<Mailbox>]>,
    /// How it hears of the shutdown; dropped when it is done.
    pub watch: Watch,
    /// Where it tells that it has ended, and why if that was not the shutdown.
    pub ended: mpsc::Sender<(u8, io::Result<()>)>,
}

/// A running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// What it does now, for the watchdog.
    pub marker: &'static CallMarker,
    /// To be joined once it told that it has ended.
    pub thread: JoinHandle<()>,
}

/// Starts a worker.
///
/// # Errors
/// The system has no more threads or descriptors.
pub fn start(post: WorkerSetup) -> io::Result<WorkerHandle> {
    let mailbox = Arc::clone(&post.mailbox);
    // Plugins' threads that are left behind may outlive the worker, and the watchdog looks at any time.
    let marker: &'static CallMarker = Box::leak(Box::default());
    let name = format!("worker-{}", post.number);
    let thread = tasks::thread(&name, move || {
        let WorkerSetup { number, ended, .. } = &post;
        let (number, ended) = (*number, ended.clone());
        // A panic here is a fault of the daemon; control must hear of it all the same.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(post, marker)))
            .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        drop(ended.blocking_send((number, result)));
    })?;
    Ok(WorkerHandle {
        mailbox,
        marker,
        thread,
    })
}

fn run(post: WorkerSetup, marker: &'static CallMarker) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let _inside = runtime.enter();
    let WorkerSetup {
        number,
        directory,
        mailbox,
        peers,
        watch,
        ..
    } = post;
    let engine = Engine::new(number, directory, Arc::clone(&mailbox), peers)?;
    boundary::serve(&engine, marker, || {
        runtime.block_on(async {
            let mut tasks = tasks::Group::new();
            tasks.start(bring_phases(watch, mailbox));
            let result = drive(&engine, marker).await;
            // With this task the watch goes: the acknowledgement.
            tasks.end().await;
            result
        })
    })
}

/// Turns what is announced into commands, so that the engine's turn needs not look at the channel.
async fn bring_phases(mut watch: Watch, mailbox: Arc<Mailbox>) {
    loop {
        let phase = watch.next().await;
        drop(mailbox.send(Command::Phase(phase)));
        if phase == Phase::Force {
            // Nothing comes after it, but the watch is held until the engine is done.
            return std::future::pending().await;
        }
    }
}

/// Turns in a row, at most.
const TURNS: usize = 4;

/// Turn after turn, with the runtime in between.
async fn drive(engine: &Engine, marker: &CallMarker) -> io::Result<()> {
    let set = pollable(engine.epoll())?;
    while !engine.is_done() {
        let ready = poll_fn(|cx| {
            engine.poll_due(cx);
            marker.rest();
            if engine.has_more() || engine.is_done() {
                return Poll::Ready(Ok(None));
            }
            set.poll_read_ready(cx).map_ok(Some)
        })
        .await?;
        // A few turns before the runtime is asked again: under load the next one finds events, and saves two calls.
        let mut turns = 1;
        while engine.turn()? != 0 && turns < TURNS {
            turns += 1;
        }
        marker.rest();
        if let Some(mut guard) = ready
            && turns < TURNS
        {
            guard.clear_ready();
        }
        if engine.has_more() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
