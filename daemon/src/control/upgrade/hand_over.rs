//! The course of a hand-over in the process that lets go. Up to the moment in which the other one serves, everything
//! can be taken back.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::ListenAddress;

use crate::control::apply::{ApplyError, freeze, hold, save, undo};
use crate::control::life::Life;
use crate::control::listen::bind::ListenSocket;
use crate::control::listen::fdstore::handover_name;
use crate::control::running::state::{InstanceHandle, OpenListener};
use crate::control::upgrade::ADMIN;
use crate::control::upgrade::messages::Message;
use crate::control::upgrade::new_process::{HandOverError, NewProcess};
use polyport_data::engine::Standby;

/// How long the new process may take until it could serve.
const LIMIT: Duration = Duration::from_secs(60);
/// And from then until it does, while nobody else does.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long workers may take to let go of who comes; one that is stuck in a callback does not.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often is looked whether the daemon is told to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What a socket is called that has no name.
const UNNAMED: &str = "unknown";

/// Why another executable cannot be handed over to by this daemon.
///
/// # Errors
/// In one sentence, with what to do.
pub fn can_hand_over(life: &Life) -> Result<(), String> {
    if life.store.borrow().is_some() {
        return Ok(());
    }
    let instances = life.instances();
    let keeps = instances.iter().find(|handle| keeps_state(handle));
    keeps.map_or(Ok(()), |handle| {
        Err(format!(
            "the state of instance `{}` cannot go over to another process: set daemon.state-directory, or restart and \
             lose it",
            handle.name()
        ))
    })
}

/// Hands over to what is at the executable's path now. It serves when this returns well, and this process does not.
///
/// # Errors
/// In one sentence; everything is as it was.
pub async fn hand_over(life: &Life, interrupted: &Cell<bool>) -> Result<NewProcess, String> {
    let limit = LIMIT;
    life.manager.extend(limit + SERVE_TIMEOUT);
    let path = life.executable.path().display();
    tracing::info!(%path, "hand-over begins");
    let started = passed(life).and_then(|passed| NewProcess::start(&life.executable, passed));
    let mut new_process = started.map_err(|error| format!("{path} cannot be started: {error}"))?;
    let mut course = Course {
        life,
        interrupted,
        until: Instant::now() + limit,
        gone: Arc::default(),
        paused: false,
    };
    match course.lead(&mut new_process).await {
        Ok(()) => {
            new_process.settle();
            Ok(new_process)
        }
        Err(trouble) => {
            let reason = new_process.end(trouble).await;
            course.take_back().await;
            Err(reason)
        }
    }
}

/// All that the new process is given.
fn passed(life: &Life) -> io::Result<Vec<(String, OwnedFd)>> {
    let state = life.state();
    let mut passed = Vec::new();
    for open in &state.sockets {
        let socket = match &open.opened {
            ListenSocket::Listener(listener) => listener.socket.as_fd().try_clone_to_owned()?,
            ListenSocket::Datagrams(listener) => listener.socket.as_fd().try_clone_to_owned()?,
        };
        passed.push((name_of(open), socket));
    }
    if let Some(claim) = life.admin.get() {
        passed.push((ADMIN.to_owned(), claim.descriptor()?));
    }
    Ok(passed)
}

fn name_of(open: &OpenListener) -> String {
    if let ListenAddress::Inherited { name } = &open.wanted {
        return name.clone();
    }
    // That of a unit is known by its address again.
    let ours = (!open.opened.is_inherited()).then(|| handover_name(&open.wanted, &open.service));
    ours.flatten().unwrap_or_else(|| UNNAMED.to_owned())
}

fn keeps_state(handle: &InstanceHandle) -> bool {
    handle.is_started() && handle.owns_state() && handle.hook_thread.instance().keeps_state()
}

/// A hand-over under way.
struct Course<'a> {
    life: &'a Life,
    interrupted: &'a Cell<bool>,
    until: Instant,
    /// Instances that are held, because their state goes over or they must be alone.
    gone: Arc<[u32]>,
    /// Nobody accepts or receives.
    paused: bool,
}

impl Course<'_> {
    async fn lead(&mut self, new_process: &mut NewProcess) -> Result<(), HandOverError> {
        self.expect(new_process, &Message::Loaded).await?;
        let directory = self.persist_state().await?;
        new_process.send(&Message::Saved(directory)).await?;
        self.expect(new_process, &Message::Ready).await?;
        self.pause().await?;
        self.until = self.until.min(Instant::now() + SERVE_TIMEOUT);
        new_process.send(&Message::Serve).await?;
        self.expect(new_process, &Message::Serving).await?;
        self.let_go(new_process).await
    }

    /// Waits for a word.
    async fn expect(
        &self,
        new_process: &mut NewProcess,
        wanted: &Message,
    ) -> Result<(), HandOverError> {
        loop {
            let heard = tokio::time::timeout(LOOK, new_process.receive()).await;
            match heard {
                Ok(Some(Message::Failed(reason))) => return Err(HandOverError::Failed(reason)),
                Ok(Some(word)) if word == *wanted => return Ok(()),
                Ok(Some(word)) => return Err(HandOverError::Confused(word.to_string())),
                Ok(None) => return Err(HandOverError::Gone),
                Err(_) if self.interrupted.get() => {
                    return Err(HandOverError::Here(ApplyError::Interrupted.to_string()));
                }
                Err(_) if Instant::now() >= self.until => {
                    let limit = if self.paused { SERVE_TIMEOUT } else { LIMIT };
                    return Err(HandOverError::Late(limit));
                }
                Err(_) => {}
            }
        }
    }

    /// Holds what cannot run twice, and writes its state to where the other process reads it; says where.
    async fn persist_state(&mut self) -> Result<Option<String>, HandOverError> {
        let here = |fault: ApplyError| HandOverError::Here(fault.to_string());
        let limit = self.life.hook_timeout.get();
        let all = self.life.instances();
        let state = self.life.state();
        let is_alone = |handle: &Arc<InstanceHandle>| {
            let serves = state.instances.iter().any(|one| Arc::ptr_eq(one, handle));
            serves && handle.hook_thread.instance().is_exclusive()
        };
        let still: Vec<&Arc<InstanceHandle>> = all
            .iter()
            .filter(|handle| keeps_state(handle) || is_alone(handle))
            .collect();
        if still.is_empty() {
            return Ok(None);
        }
        let indices = still
            .iter()
            .map(|handle| handle.hook_thread.instance().index());
        self.gone = indices.collect();
        hold(self.life, Arc::clone(&self.gone), limit)
            .await
            .map_err(here)?;
        for handle in still.iter().rev().filter(|handle| is_alone(handle)) {
            freeze(self.life, handle, limit).await.map_err(here)?;
        }
        let mut saved = false;
        for handle in still.iter().filter(|handle| keeps_state(handle)) {
            saved |= save(self.life, handle, limit)
                .await
                .map_err(here)?
                .is_some();
        }
        let store = self.life.store.borrow();
        let directory = store.as_ref().filter(|_| saved);
        Ok(directory.map(|store| store.directory().display().to_string()))
    }

    /// From here to the end nobody accepts or receives: two processes that read one socket would both answer.
    async fn pause(&mut self) -> Result<(), HandOverError> {
        let Some(workers) = self.life.workers.get() else {
            return Ok(());
        };
        self.paused = true;
        let all = workers.standby(&Standby::Suspend);
        let paused = tokio::time::timeout(SUSPEND_TIMEOUT, all.wait()).await;
        paused.map_err(|_| {
            let reason = "a worker is held up by a callback, so that it cannot let go of its sockets; the log names a \
                          callback that takes long";
            HandOverError::Here(reason.to_owned())
        })
    }

    /// The other process serves: nothing here can fail any more, but for its death.
    async fn let_go(&self, new_process: &NewProcess) -> Result<(), HandOverError> {
        let life = self.life;
        // Before its first word, which the manager would not hear from anybody else.
        life.manager.main_process(new_process.pid());
        if let Err(trouble) = new_process.send(&Message::Committed).await {
            life.manager.main_process(std::process::id());
            return Err(trouble);
        }
        life.manager.mute(true);
        for handle in life.instances() {
            handle.set_owns_state(false);
        }
        for open in &life.state().sockets {
            open.opened.share(true);
        }
        if let Some(claim) = life.admin.get() {
            claim.share(true);
        }
        if let Some(workers) = life.workers.get() {
            let ceding = Standby::HandOff {
                gone: Arc::clone(&self.gone),
                until: Instant::now() + life.drain_timeout.get(),
            };
            // One that is stuck takes it over when its callback returns.
            drop(workers.standby(&ceding));
        }
        life.let_go_of_sockets();
        // What was held has been let go of with the sockets.
        drop(life.undo.take());
        Ok(())
    }

    /// Everything as it was.
    async fn take_back(&self) {
        if self.paused
            && let Some(workers) = self.life.workers.get()
        {
            drop(workers.standby(&Standby::Resume));
        }
        for open in &self.life.state().sockets {
            // The other process may have begun to give it the mode and group of another configuration.
            if let Err(reason) = open.opened.set_access(&open.wanted) {
                tracing::warn!(reason, "the hand-over is undone, but for this");
            }
        }
        undo(self.life).await;
    }
}
