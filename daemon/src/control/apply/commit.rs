//! The commit: the moment from which the new state serves. Nothing in it can fail, except that an old process does not
//! commit the hand-over; then this process ends, and the old one serves on.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;

use super::{ApplyError, Transaction};
use crate::control::listen::bind::ListenSocket;
use crate::control::running::instance::log_instance;
use crate::control::running::services::{is_same, quota, service};
use crate::control::running::{InstanceHandle, OpenListener, Retiring, RunningState};
use polyport_common::wait_group::WaitGroup;
use polyport_data::listen::Listener;

/// How long the commit waits for the workers; one that is stuck in a callback applies the snapshot later.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Most retiring instances of one name without a deadline; above that the oldest gets one.
const RETIRING_MAX: usize = 16;

/// What a change has put in force.
#[derive(Debug)]
pub struct Applied {
    /// Instances that get no new streams any more.
    pub retiring: Vec<Retiring>,
    /// Generations that were replaced, each with its replacement.
    pub replaced_code: Vec<(Arc<Generation>, Arc<Generation>)>,
}

impl Transaction<'_> {
    /// See the module's text.
    pub(super) async fn commit(&mut self) -> Result<Applied, ApplyError> {
        self.check_interrupt()?;
        self.check_complete()?;
        let (process, inventory) = (self.context.process, self.context.inventory);
        let before = inventory.state();
        let next = self.next_state(&before);
        let retiring = self.retiring(&before, &next);
        let replaced_code = replaced_code(&before, &next);
        self.set_limits(&next);
        let daemon = &self.config.daemon;
        inventory.hook_timeout.set(daemon.hook_timeout);
        inventory.drain_timeout.set(daemon.drain_timeout);
        let all = &inventory.retiring;
        all.borrow_mut().extend(retiring.iter().cloned());
        self.hasten_oldest();
        inventory.starting.take();
        let opened = std::mem::take(&mut self.undo.opened);
        let closed = self.unstore_closed(&before, &next);
        let number = next.number;
        drop(before);
        let applied = inventory.replace_state(next, self.context.plane);
        self.undo.fence.resume(self.context.plane);
        await_workers(applied, number, closed).await;
        let taken_over = process.take_over(&inventory.state().listeners).await;
        taken_over.map_err(ApplyError::Upgrade)?;
        for open in opened {
            open.socket.store(&open.address, &process.manager);
            let (service, address) = (open.service, open.socket.address());
            tracing::info!(service, address, "listening");
        }
        self.refresh_dials();
        Ok(Applied {
            retiring,
            replaced_code,
        })
    }

    /// Checks that every desired instance exists.
    fn check_complete(&self) -> Result<(), ApplyError> {
        let mut desired = self.config.instances.iter().zip(&self.instances);
        match desired.find(|(_, handle)| handle.is_none()) {
            None => Ok(()),
            Some((wanted, _)) => Err(ApplyError::Handler {
                instance: wanted.name.clone(),
            }),
        }
    }

    fn next_state(&self, before: &RunningState) -> RunningState {
        let files = self.files.iter();
        let mut next = RunningState {
            number: before.number + 1,
            config: Some(Arc::clone(&self.config)),
            files: files
                .map(|(file, code)| (Arc::new(file.loaded_as(code)), Arc::clone(code)))
                .collect(),
            handlers: self.handlers.clone(),
            instances: self.instances.iter().flatten().cloned().collect(),
            ..RunningState::default()
        };
        for wanted in &self.config.services {
            let present = before.quotas.get(&wanted.name).cloned();
            let quota = present.unwrap_or_else(|| quota(wanted, &self.context.inventory.quota));
            if let Some(handle) = next.instance(&wanted.handler) {
                let made = service(wanted, &self.config, handle, &quota);
                let present = before.service(&wanted.name);
                let same = present.filter(|present| is_same(present, &made));
                next.services
                    .push(same.map_or_else(|| Arc::new(made), Arc::clone));
            }
            next.quotas.insert(wanted.name.clone(), quota);
        }
        for plan in &self.plan.listeners {
            let opened = || {
                let mut opened = self.undo.opened.iter();
                opened.find(|open| {
                    let mut taken = next.listeners.iter();
                    open.address == plan.address
                        && open.service == plan.service
                        && !taken.any(|one| one.socket.is(&open.socket))
                })
            };
            if let Some(open) = plan.kept.as_ref().or_else(opened) {
                next.listeners.push(OpenListener {
                    address: plan.address.clone(),
                    service: plan.service.clone(),
                    socket: open.socket.clone(),
                });
            }
        }
        next
    }

    /// The instances that the next state does not have.
    fn retiring(&self, before: &RunningState, next: &RunningState) -> Vec<Retiring> {
        let now = Instant::now();
        let daemon = &self.config.daemon;
        let stays = |handle: &Arc<InstanceHandle>| {
            let mut instances = next.instances.iter();
            instances.any(|one| Arc::ptr_eq(one, handle))
        };
        let gone = before.instances.iter().filter(|handle| !stays(handle));
        gone.map(|handle| {
            let (why, until) = match next.instance(handle.name()) {
                None => ("removed".to_owned(), Some(now + daemon.drain_timeout)),
                Some(new) => {
                    handle.give_up_state();
                    let generation = new.hook_thread.instance().generation();
                    let why = if handle.runs(generation) {
                        "replaced: its configuration changed".to_owned()
                    } else {
                        format!("replaced by generation {}", generation.number)
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

    /// Sets the height of the limits. The limits themselves outlive a change, because streams continue to count.
    fn set_limits(&self, next: &RunningState) {
        let daemon = &self.context.inventory.quota;
        daemon.limit.set_max(self.config.daemon.limits.streams);
        for wanted in &self.config.services {
            if let Some(quota) = next.quotas.get(&wanted.name) {
                let max = wanted.limits.streams.unwrap_or(u64::MAX);
                quota.limit.set_max(max);
            }
        }
    }

    /// Bounds the number of instances of one name that retire without a deadline.
    fn hasten_oldest(&self) {
        let mut retiring = self.context.inventory.retiring.borrow_mut();
        let until = Instant::now() + self.config.daemon.drain_timeout;
        for index in 0..retiring.len() {
            let newer = retiring.get(index..).unwrap_or_default();
            let Some((oldest, rest)) = newer.split_first() else {
                return;
            };
            let name = oldest.handle.name();
            let same_name = rest.iter().filter(|one| one.handle.name() == name);
            if oldest.until.is_some() || same_name.count() < RETIRING_MAX {
                continue;
            }
            log_instance!(
                warn,
                oldest.handle,
                "too many replaced instances wait for their streams: those of the oldest are told to end"
            );
            if let Some(oldest) = retiring.get_mut(index) {
                oldest.until = Some(until);
            }
        }
    }

    /// Removes listeners that the next state does not have from the store of the service manager. They are returned as
    /// weak references: a connection is refused as soon as the last worker has closed them, and not reset later.
    fn unstore_closed(&self, before: &RunningState, next: &RunningState) -> Vec<Weak<Listener>> {
        let is_kept = |open: &OpenListener| {
            let mut listeners = next.listeners.iter();
            listeners.any(|one| one.socket.is(&open.socket))
        };
        let closed = before.listeners.iter().filter(|open| !is_kept(open));
        let closed = closed.inspect(|open| open.unstore(&self.context.process.manager));
        closed
            .filter_map(|open| match &open.socket {
                ListenSocket::Streams(listener) => Some(Arc::downgrade(listener)),
                ListenSocket::Datagrams(_) => None,
            })
            .collect()
    }
}

/// Generations whose plugin is served by another generation from now on.
fn replaced_code(
    before: &RunningState,
    next: &RunningState,
) -> Vec<(Arc<Generation>, Arc<Generation>)> {
    let pairs = next.files.iter().filter_map(|(file, new)| {
        let old = before.generation(&file.name)?;
        (!Arc::ptr_eq(old, new)).then(|| (Arc::clone(old), Arc::clone(new)))
    });
    pairs.collect()
}

/// Waits until all workers serve the new state.
async fn await_workers(applied: WaitGroup, number: u64, closed: Vec<Weak<Listener>>) {
    if tokio::time::timeout(COMMIT_TIMEOUT, applied.wait())
        .await
        .is_ok()
    {
        return;
    }
    tracing::warn!(
        change = number,
        "a worker is held up by a callback: it takes the change over when that returns"
    );
    // Nobody may connect to a listener that such a worker still holds open.
    for listener in closed.iter().filter_map(Weak::upgrade) {
        listener.refuse();
    }
}
