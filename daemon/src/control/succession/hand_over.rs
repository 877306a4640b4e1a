//! The course of a hand-over in the process that lets go. Up to the moment in which the other one serves, everything
//! can be taken back.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::ListenAddress;

use super::ADMIN;
use super::successor::{Successor, Trouble};
use super::words::Word;
use crate::control::bind::Opened;
use crate::control::change::{ChangeFault, freeze, hold, save, undo};
use crate::control::life::Life;
use crate::control::stored::handed_name;
use crate::control::world::{Held, Open};
use polyport_data::engine::Standby;

/// How long the new process may take until it could serve.
const LIMIT: Duration = Duration::from_secs(60);
/// And from then until it does, while nobody else does.
const SERVE_TIME: Duration = Duration::from_secs(5);
/// How long workers may take to let go of who comes; one that is stuck in a callback does not.
const PAUSE_TIME: Duration = Duration::from_secs(1);
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
    let keeps = instances.iter().find(|held| keeps_state(held));
    keeps.map_or(Ok(()), |held| {
        Err(format!(
            "the state of instance `{}` cannot go over to another process: set daemon.state-directory, or restart and \
             lose it",
            held.name()
        ))
    })
}

/// Hands over to what is at the executable's path now. It serves when this returns well, and this process does not.
///
/// # Errors
/// In one sentence; everything is as it was.
pub async fn hand_over(life: &Life, interrupted: &Cell<bool>) -> Result<Successor, String> {
    let limit = LIMIT;
    life.manager.extend(limit + SERVE_TIME);
    let path = life.executable.path().display();
    tracing::info!(%path, "hand-over begins");
    let started = passed(life).and_then(|passed| Successor::start(&life.executable, passed));
    let mut successor = started.map_err(|error| format!("{path} cannot be started: {error}"))?;
    let mut course = Course {
        life,
        interrupted,
        until: Instant::now() + limit,
        gone: Arc::default(),
        paused: false,
    };
    match course.lead(&mut successor).await {
        Ok(()) => {
            successor.settle();
            Ok(successor)
        }
        Err(trouble) => {
            let reason = successor.end(trouble).await;
            course.take_back().await;
            Err(reason)
        }
    }
}

/// All that the new process is given.
fn passed(life: &Life) -> io::Result<Vec<(String, OwnedFd)>> {
    let world = life.world();
    let mut passed = Vec::new();
    for open in &world.sockets {
        let socket = match &open.opened {
            Opened::Listener(listener) => listener.socket.as_fd().try_clone_to_owned()?,
            Opened::Datagrams(listener) => listener.socket.as_fd().try_clone_to_owned()?,
        };
        passed.push((name_of(open), socket));
    }
    if let Some(claim) = life.admin.get() {
        passed.push((ADMIN.to_owned(), claim.descriptor()?));
    }
    Ok(passed)
}

fn name_of(open: &Open) -> String {
    if let ListenAddress::Inherited { name } = &open.wanted {
        return name.clone();
    }
    // That of a unit is known by its address again.
    let ours = (!open.opened.is_inherited()).then(|| handed_name(&open.wanted, &open.service));
    ours.flatten().unwrap_or_else(|| UNNAMED.to_owned())
}

fn keeps_state(held: &Held) -> bool {
    held.is_started() && held.owns_state() && held.hook_thread.instance().keeps_state()
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
    async fn lead(&mut self, successor: &mut Successor) -> Result<(), Trouble> {
        self.expect(successor, &Word::Loaded).await?;
        let directory = self.put_to_rest().await?;
        successor.say(&Word::Saved(directory)).await?;
        self.expect(successor, &Word::Ready).await?;
        self.pause().await?;
        self.until = self.until.min(Instant::now() + SERVE_TIME);
        successor.say(&Word::Serve).await?;
        self.expect(successor, &Word::Serving).await?;
        self.let_go(successor).await
    }

    /// Waits for a word.
    async fn expect(&self, successor: &mut Successor, wanted: &Word) -> Result<(), Trouble> {
        loop {
            let heard = tokio::time::timeout(LOOK, successor.hear()).await;
            match heard {
                Ok(Some(Word::Failed(reason))) => return Err(Trouble::Failed(reason)),
                Ok(Some(word)) if word == *wanted => return Ok(()),
                Ok(Some(word)) => return Err(Trouble::Confused(word.to_string())),
                Ok(None) => return Err(Trouble::Gone),
                Err(_) if self.interrupted.get() => {
                    return Err(Trouble::Here(ChangeFault::Interrupted.to_string()));
                }
                Err(_) if Instant::now() >= self.until => {
                    let limit = if self.paused { SERVE_TIME } else { LIMIT };
                    return Err(Trouble::Late(limit));
                }
                Err(_) => {}
            }
        }
    }

    /// Holds what cannot run twice, and writes its state to where the other process reads it; says where.
    async fn put_to_rest(&mut self) -> Result<Option<String>, Trouble> {
        let here = |fault: ChangeFault| Trouble::Here(fault.to_string());
        let limit = self.life.hook_timeout.get();
        let all = self.life.instances();
        let world = self.life.world();
        let is_alone = |held: &Arc<Held>| {
            let serves = world.instances.iter().any(|one| Arc::ptr_eq(one, held));
            serves && held.hook_thread.instance().is_exclusive()
        };
        let still: Vec<&Arc<Held>> = all
            .iter()
            .filter(|held| keeps_state(held) || is_alone(held))
            .collect();
        if still.is_empty() {
            return Ok(None);
        }
        let indices = still.iter().map(|held| held.hook_thread.instance().index());
        self.gone = indices.collect();
        hold(self.life, Arc::clone(&self.gone), limit)
            .await
            .map_err(here)?;
        for held in still.iter().rev().filter(|held| is_alone(held)) {
            freeze(self.life, held, limit).await.map_err(here)?;
        }
        let mut saved = false;
        for held in still.iter().filter(|held| keeps_state(held)) {
            saved |= save(self.life, held, limit).await.map_err(here)?.is_some();
        }
        let store = self.life.store.borrow();
        let directory = store.as_ref().filter(|_| saved);
        Ok(directory.map(|store| store.directory().display().to_string()))
    }

    /// From here to the end nobody accepts or receives: two processes that read one socket would both answer.
    async fn pause(&mut self) -> Result<(), Trouble> {
        let Some(workers) = self.life.workers.get() else {
            return Ok(());
        };
        self.paused = true;
        let all = workers.cede(&Standby::Suspend);
        let paused = tokio::time::timeout(PAUSE_TIME, all.wait()).await;
        paused.map_err(|_| {
            let reason = "a worker is held up by a callback, so that it cannot let go of its sockets; the log names a \
                          callback that takes long";
            Trouble::Here(reason.to_owned())
        })
    }

    /// The other process serves: nothing here can fail any more, but for its death.
    async fn let_go(&self, successor: &Successor) -> Result<(), Trouble> {
        let life = self.life;
        // Before its first word, which the manager would not hear from anybody else.
        life.manager.main_process(successor.pid());
        if let Err(trouble) = successor.say(&Word::Yours).await {
            life.manager.main_process(std::process::id());
            return Err(trouble);
        }
        life.manager.mute(true);
        for held in life.instances() {
            held.set_owns_state(false);
        }
        for open in &life.world().sockets {
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
            drop(workers.cede(&ceding));
        }
        life.let_go_of_sockets();
        // What was held has been let go of with the sockets.
        drop(life.making.take());
        Ok(())
    }

    /// Everything as it was.
    async fn take_back(&self) {
        if self.paused
            && let Some(workers) = self.life.workers.get()
        {
            drop(workers.cede(&Standby::Resume));
        }
        for open in &self.life.world().sockets {
            // The other process may have begun to give it the mode and group of another configuration.
            if let Err(reason) = open.opened.set_access(&open.wanted) {
                tracing::warn!(reason, "the hand-over is undone, but for this");
            }
        }
        undo(self.life).await;
    }
}
