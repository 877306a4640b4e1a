//! The swap: the moment from which the new world serves. Nothing in it can fail, but for a predecessor that does not
//! let go; then this process ends, and that one goes on.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;

use crate::control::apply::ApplyError;
use crate::control::apply::Change;
use crate::control::listen::bind::ListenSocket;
use crate::control::running::services::{room, same, service};
use crate::control::running::state::{InstanceHandle, OpenListener, Retiring, RunningState};
use polyport_common::wait_group::WaitGroup;
use polyport_data::accept::Listener;
use polyport_data::service::Service;
use polyport_data::snapshot::{Leaving, Snapshot};

/// How long is waited until every worker has taken the swap over; one that is stuck in a callback does so later.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Instances of one name that may wait for their streams; the oldest above that is told to end.
const RETIRING_MAX: usize = 16;

/// What a change has put in force.
#[derive(Debug)]
pub struct Applied {
    /// Instances that serve no new streams any more.
    pub left: Vec<Retiring>,
    /// Code that was replaced, and by what.
    pub replaced_code: Vec<(Arc<Generation>, Arc<Generation>)>,
}

impl Change<'_> {
    /// See the module's text.
    pub(super) async fn swap(self) -> Result<Applied, ApplyError> {
        self.go_on()?;
        self.all_there()?;
        let before = self.life.state();
        let next = self.next_world(&before);
        let left = self.left(&before, &next);
        let replaced_code = replaced_code(&before, &next);
        self.set_limits(&next);
        self.life.hook_timeout.set(self.config.daemon.hook_timeout);
        self.life
            .drain_timeout
            .set(self.config.daemon.drain_timeout);
        self.life.retiring.borrow_mut().extend(left.iter().cloned());
        self.hasten_oldest();
        let undo = self.life.undo.take();
        let closed = self.close(&before, &next);
        let number = next.number;
        drop(before);
        let all = self.life.take_over(next);
        if let (Some(handle), Some(workers)) = (undo.handle, self.life.workers.get()) {
            drop(workers.release(&handle));
        }
        wait(all, number, closed).await;
        self.life.take_place().await?;
        for open in undo.opened {
            open.opened.store(&open.wanted, &self.life.manager);
            let (service, address) = (open.service, open.opened.address());
            tracing::info!(service, address, "listening");
        }
        self.life.refresh_dials();
        Ok(Applied {
            left,
            replaced_code,
        })
    }

    /// The sockets that the next world does not have. They are not held on to: who still comes is refused as soon as the
    /// last worker has let go, and not reset later.
    fn close(&self, before: &RunningState, next: &RunningState) -> Vec<Weak<Listener>> {
        let gone = closed(before, next);
        for open in &gone {
            open.forget(&self.life.manager);
        }
        gone.iter().filter_map(|open| open.opened.weak()).collect()
    }

    /// Is every instance of the target there?
    fn all_there(&self) -> Result<(), ApplyError> {
        let mut missing = self.config.instances.iter().zip(&self.slots);
        match missing.find(|(_, slot)| slot.is_none()) {
            None => Ok(()),
            Some((wanted, _)) => Err(ApplyError::Handler {
                instance: wanted.name.clone(),
            }),
        }
    }

    /// The world that the target asks for.
    fn next_world(&self, before: &RunningState) -> RunningState {
        let instances: Vec<Arc<InstanceHandle>> = self.slots.iter().flatten().cloned().collect();
        let mut next = RunningState {
            number: before.number + 1,
            config: Some(Arc::clone(&self.config)),
            files: Vec::new(),
            handlers: self.handlers.clone(),
            instances,
            ..RunningState::default()
        };
        next.files.extend(
            self.files
                .iter()
                .map(|(file, generation)| (file.again(generation), Arc::clone(generation))),
        );
        for wanted in &self.config.services {
            let present = before.quotas.get(&wanted.name).cloned();
            let room = present.unwrap_or_else(|| room(wanted, &self.life.room));
            let behind = next.instance(&wanted.handler).cloned();
            let made = behind.map(|handle| service(wanted, &self.config, &handle, &room));
            next.services.extend(made.map(|made| {
                let same = before.service(&wanted.name).filter(|one| same(one, &made));
                same.map_or_else(|| Arc::new(made), Arc::clone)
            }));
            next.quotas.insert(wanted.name.clone(), room);
        }
        let undo = self.life.undo.borrow();
        for place in &self.plan.sockets {
            let new = || {
                let mut opened = undo.opened.iter();
                opened.find(|open| {
                    open.wanted == place.wanted
                        && open.service == place.service
                        && !next.sockets.iter().any(|one| one.opened.is(&open.opened))
                })
            };
            let Some(open) = place.have.as_ref().or_else(new) else {
                continue;
            };
            next.sockets.push(OpenListener {
                wanted: place.wanted.clone(),
                service: place.service.clone(),
                opened: open.opened.clone(),
            });
        }
        next
    }

    /// Whom the next world does not serve with any more.
    fn left(&self, before: &RunningState, next: &RunningState) -> Vec<Retiring> {
        let now = Instant::now();
        let daemon = &self.config.daemon;
        let stays = |handle: &Arc<InstanceHandle>| {
            next.instances.iter().any(|one| Arc::ptr_eq(one, handle))
        };
        let gone = before.instances.iter().filter(|handle| !stays(handle));
        gone.map(|handle| {
            let new_process = next.instance(handle.name());
            let (why, until) = match new_process {
                None => ("removed".to_owned(), Some(now + daemon.drain_timeout)),
                Some(new) => {
                    handle.set_owns_state(false);
                    let number = new.hook_thread.instance().generation().number;
                    let why = if number == handle.hook_thread.instance().generation().number {
                        "replaced: its configuration changed".to_owned()
                    } else {
                        format!("replaced by generation {number}")
                    };
                    (why, daemon.replace_timeout.map(|timeout| now + timeout))
                }
            };
            Retiring {
                handle: Arc::clone(handle),
                why,
                until,
            }
        })
        .collect()
    }

    /// Bounds that streams are counted against outlive a change: only their height changes.
    fn set_limits(&self, next: &RunningState) {
        self.life
            .room
            .limit
            .set_max(self.config.daemon.limits.streams);
        for wanted in &self.config.services {
            if let Some(room) = next.quotas.get(&wanted.name) {
                room.limit
                    .set_max(wanted.limits.streams.unwrap_or(u64::MAX));
            }
        }
    }

    /// Bounds how many instances of one name wait for their streams.
    fn hasten_oldest(&self) {
        let mut retiring = self.life.retiring.borrow_mut();
        let until = Instant::now() + self.config.daemon.drain_timeout;
        for at in 0..retiring.len() {
            let newer = retiring.get(at..).unwrap_or_default();
            let Some((oldest, rest)) = newer.split_first() else {
                return;
            };
            let same = rest
                .iter()
                .filter(|one| one.handle.name() == oldest.handle.name());
            if oldest.until.is_some() || same.count() < RETIRING_MAX {
                continue;
            }
            let name = oldest.handle.hook_thread.instance().name();
            tracing::warn!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                "too many replaced instances wait for their streams: those of the oldest are told to end"
            );
            if let Some(oldest) = retiring.get_mut(at) {
                oldest.until = Some(until);
            }
        }
    }
}

/// Code that another one serves for now.
fn replaced_code(
    before: &RunningState,
    next: &RunningState,
) -> Vec<(Arc<Generation>, Arc<Generation>)> {
    let old = |name: &str| before.files.iter().find(|(file, _)| file.name == name);
    let pairs = next.files.iter().filter_map(|(file, new)| {
        let (_, old) = old(&file.name)?;
        (!Arc::ptr_eq(old, new)).then(|| (Arc::clone(old), Arc::clone(new)))
    });
    pairs.collect()
}

/// Sockets that the next world does not have.
fn closed(before: &RunningState, next: &RunningState) -> Vec<OpenListener> {
    let kept = |open: &OpenListener| next.sockets.iter().any(|one| one.opened.is(&open.opened));
    let gone = before.sockets.iter().filter(|open| !kept(open));
    gone.cloned().collect()
}

/// Waits until all workers serve by the new world.
async fn wait(all: WaitGroup, number: u64, closed: Vec<Weak<Listener>>) {
    if tokio::time::timeout(COMMIT_TIMEOUT, all.wait())
        .await
        .is_ok()
    {
        return;
    }
    tracing::warn!(
        change = number,
        "a worker is held up by a callback: it takes the change over when that returns"
    );
    // Nobody may connect to what such a worker still holds open.
    for listener in closed.iter().filter_map(Weak::upgrade) {
        listener.refuse();
    }
}

impl RunningState {
    /// As workers see it.
    pub(in crate::control) fn snapshot(&self, retiring: &[Retiring]) -> Snapshot {
        let behind = |open: &OpenListener| -> Option<Arc<Service>> {
            self.service(&open.service).map(Arc::clone)
        };
        let mut snapshot = Snapshot {
            number: self.number,
            services: self.services.clone(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
        };
        for open in &self.sockets {
            let Some(service) = behind(open) else {
                continue;
            };
            match &open.opened {
                ListenSocket::Listener(listener) => {
                    snapshot.listeners.push((Arc::clone(listener), service));
                }
                ListenSocket::Datagrams(socket) => {
                    snapshot.sockets.push((Arc::clone(socket), service));
                }
            }
        }
        snapshot.leaving.extend(retiring.iter().map(|one| Leaving {
            instance: one.handle.hook_thread.instance().index(),
            until: one.until,
        }));
        snapshot
    }
}
