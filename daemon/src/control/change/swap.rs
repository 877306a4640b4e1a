//! The swap: the moment from which the new world serves. Nothing in it can fail, but for a predecessor that does not
//! let go; then this process ends, and that one goes on.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;

use super::Change;
use super::ChangeFault;
use crate::control::bind::Opened;
use crate::control::services::{room, same, service};
use crate::control::world::{Held, Leaver, Open, World};
use polyport_common::wait_group::WaitGroup;
use polyport_data::accept::Listener;
use polyport_data::service::Service;
use polyport_data::snapshot::{Leaving, Snapshot};

/// How long is waited until every worker has taken the swap over; one that is stuck in a callback does so later.
const SWAP_TIME: Duration = Duration::from_secs(1);
/// Instances of one name that may wait for their streams; the oldest above that is told to end.
const LEAVERS_MAX: usize = 16;

/// What a change has put in force.
#[derive(Debug)]
pub struct Applied {
    /// Instances that serve no new streams any more.
    pub left: Vec<Leaver>,
    /// Code that was replaced, and by what.
    pub swapped: Vec<(Arc<Generation>, Arc<Generation>)>,
}

impl Change<'_> {
    /// See the module's text.
    pub(super) async fn swap(self) -> Result<Applied, ChangeFault> {
        self.go_on()?;
        self.all_there()?;
        let before = self.life.world();
        let next = self.next_world(&before);
        let left = self.left(&before, &next);
        let swapped = swapped(&before, &next);
        self.set_limits(&next);
        self.life.hook_timeout.set(self.config.daemon.hook_timeout);
        self.life
            .drain_timeout
            .set(self.config.daemon.drain_timeout);
        self.life.leaving.borrow_mut().extend(left.iter().cloned());
        self.hasten_oldest();
        let making = self.life.making.take();
        let closed = self.close(&before, &next);
        let number = next.number;
        drop(before);
        let all = self.life.take_over(next);
        if let (Some(held), Some(workers)) = (making.held, self.life.workers.get()) {
            drop(workers.release(&held));
        }
        wait(all, number, closed).await;
        self.life.take_place().await?;
        for open in making.opened {
            open.opened.store(&open.wanted, &self.life.manager);
            let (service, address) = (open.service, open.opened.address());
            tracing::info!(service, address, "listening");
        }
        self.life.refresh_dials();
        Ok(Applied { left, swapped })
    }

    /// The sockets that the next world does not have. They are not held on to: who still comes is refused as soon as the
    /// last worker has let go, and not reset later.
    fn close(&self, before: &World, next: &World) -> Vec<Weak<Listener>> {
        let gone = closed(before, next);
        for open in &gone {
            open.forget(&self.life.manager);
        }
        gone.iter().filter_map(|open| open.opened.weak()).collect()
    }

    /// Is every instance of the target there?
    fn all_there(&self) -> Result<(), ChangeFault> {
        let mut missing = self.config.instances.iter().zip(&self.slots);
        match missing.find(|(_, slot)| slot.is_none()) {
            None => Ok(()),
            Some((wanted, _)) => Err(ChangeFault::Handler {
                instance: wanted.name.clone(),
            }),
        }
    }

    /// The world that the target asks for.
    fn next_world(&self, before: &World) -> World {
        let instances: Vec<Arc<Held>> = self.slots.iter().flatten().cloned().collect();
        let mut next = World {
            number: before.number + 1,
            config: Some(Arc::clone(&self.config)),
            files: Vec::new(),
            choices: self.choices.clone(),
            instances,
            ..World::default()
        };
        next.files.extend(
            self.files
                .iter()
                .map(|(file, generation)| (file.again(generation), Arc::clone(generation))),
        );
        for wanted in &self.config.services {
            let present = before.rooms.get(&wanted.name).cloned();
            let room = present.unwrap_or_else(|| room(wanted, &self.life.room));
            let behind = next.instance(&wanted.handler).cloned();
            let made = behind.map(|held| service(wanted, &self.config, &held, &room));
            next.services.extend(made.map(|made| {
                let same = before.service(&wanted.name).filter(|one| same(one, &made));
                same.map_or_else(|| Arc::new(made), Arc::clone)
            }));
            next.rooms.insert(wanted.name.clone(), room);
        }
        let making = self.life.making.borrow();
        for place in &self.plan.sockets {
            let new = || {
                let mut opened = making.opened.iter();
                opened.find(|open| {
                    open.wanted == place.wanted
                        && open.service == place.service
                        && !next.sockets.iter().any(|one| one.opened.is(&open.opened))
                })
            };
            let Some(open) = place.have.as_ref().or_else(new) else {
                continue;
            };
            next.sockets.push(Open {
                wanted: place.wanted.clone(),
                service: place.service.clone(),
                opened: open.opened.clone(),
            });
        }
        next
    }

    /// Whom the next world does not serve with any more.
    fn left(&self, before: &World, next: &World) -> Vec<Leaver> {
        let now = Instant::now();
        let daemon = &self.config.daemon;
        let stays = |held: &Arc<Held>| next.instances.iter().any(|one| Arc::ptr_eq(one, held));
        let gone = before.instances.iter().filter(|held| !stays(held));
        gone.map(|held| {
            let successor = next.instance(held.name());
            let (why, until) = match successor {
                None => ("removed".to_owned(), Some(now + daemon.drain_timeout)),
                Some(new) => {
                    held.set_owns_state(false);
                    let number = new.hook_thread.instance().generation().number;
                    let why = if number == held.hook_thread.instance().generation().number {
                        "replaced: its configuration changed".to_owned()
                    } else {
                        format!("replaced by generation {number}")
                    };
                    (why, daemon.replace_timeout.map(|timeout| now + timeout))
                }
            };
            Leaver {
                held: Arc::clone(held),
                why,
                until,
            }
        })
        .collect()
    }

    /// Bounds that streams are counted against outlive a change: only their height changes.
    fn set_limits(&self, next: &World) {
        self.life
            .room
            .limit
            .set_max(self.config.daemon.limits.streams);
        for wanted in &self.config.services {
            if let Some(room) = next.rooms.get(&wanted.name) {
                room.limit
                    .set_max(wanted.limits.streams.unwrap_or(u64::MAX));
            }
        }
    }

    /// Bounds how many instances of one name wait for their streams.
    fn hasten_oldest(&self) {
        let mut leaving = self.life.leaving.borrow_mut();
        let until = Instant::now() + self.config.daemon.drain_timeout;
        for at in 0..leaving.len() {
            let newer = leaving.get(at..).unwrap_or_default();
            let Some((oldest, rest)) = newer.split_first() else {
                return;
            };
            let same = rest
                .iter()
                .filter(|one| one.held.name() == oldest.held.name());
            if oldest.until.is_some() || same.count() < LEAVERS_MAX {
                continue;
            }
            let name = oldest.held.hook_thread.instance().name();
            tracing::warn!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                "too many replaced instances wait for their streams: those of the oldest are told to end"
            );
            if let Some(oldest) = leaving.get_mut(at) {
                oldest.until = Some(until);
            }
        }
    }
}

/// Code that another one serves for now.
fn swapped(before: &World, next: &World) -> Vec<(Arc<Generation>, Arc<Generation>)> {
    let old = |name: &str| before.files.iter().find(|(file, _)| file.name == name);
    let pairs = next.files.iter().filter_map(|(file, new)| {
        let (_, old) = old(&file.name)?;
        (!Arc::ptr_eq(old, new)).then(|| (Arc::clone(old), Arc::clone(new)))
    });
    pairs.collect()
}

/// Sockets that the next world does not have.
fn closed(before: &World, next: &World) -> Vec<Open> {
    let kept = |open: &Open| next.sockets.iter().any(|one| one.opened.is(&open.opened));
    let gone = before.sockets.iter().filter(|open| !kept(open));
    gone.cloned().collect()
}

/// Waits until all workers serve by the new world.
async fn wait(all: WaitGroup, number: u64, closed: Vec<Weak<Listener>>) {
    if tokio::time::timeout(SWAP_TIME, all.wait()).await.is_ok() {
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

impl World {
    /// As workers see it.
    pub(in crate::control) fn snapshot(&self, leaving: &[Leaver]) -> Snapshot {
        let behind =
            |open: &Open| -> Option<Arc<Service>> { self.service(&open.service).map(Arc::clone) };
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
                Opened::Listener(listener) => {
                    snapshot.listeners.push((Arc::clone(listener), service));
                }
                Opened::Datagrams(socket) => snapshot.sockets.push((Arc::clone(socket), service)),
            }
        }
        snapshot.leaving.extend(leaving.iter().map(|one| Leaving {
            instance: one.held.hook_thread.instance().index(),
            until: one.until,
        }));
        snapshot
    }
}
