//! The hub: what host functions reach from any thread, also from a plugin's own. One for the process.
//!
//! It knows the directories of all workers, the instances by number, and the operations that hooks left open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::oneshot;

use crate::host_api::Dial;
use crate::id::{Id, Kind, NO_WORKER, SLOTS_MAX};
use crate::metrics::Metrics;
use crate::status::HostError;
use crate::wake_table::WakeTable;

/// Who an instance is, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceName {
    /// Name in the configuration.
    pub instance: String,
    /// Name of the plugin's file, without `lib` and suffix.
    pub plugin: String,
    /// Which copy of the plugin's code.
    pub generation: u64,
}

/// Where wakes of an instance arrive.
pub(crate) trait Inbox: Send + Sync {
    fn wake(&self, bits: u64) -> Result<(), HostError>;
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// 0, or a `PP_E_*`.
    pub status: i32,
    /// The plugin's reason.
    pub why: String,
}

/// Takes dials of instances to a worker; the daemon provides it.
pub type Dialler = dyn Fn(u32, Dial) -> Result<(), HostError> + Send + Sync;

struct Member {
    name: InstanceName,
    inbox: Option<Arc<dyn Inbox>>,
}

/// See the module's text.
#[derive(Default)]
pub struct Registry {
    directories: OnceLock<Vec<Arc<WakeTable>>>,
    dialler: RwLock<Option<Arc<Dialler>>>,
    members: RwLock<Vec<Member>>,
    /// With the index of the instance whose hook it is.
    operations: Mutex<HashMap<Id, (u32, oneshot::Sender<Completion>)>>,
    next_operation: AtomicU32,
    metrics: Metrics,
}

static HUB: OnceLock<Registry> = OnceLock::new();

/// The process's hub.
pub fn registry() -> &'static Registry {
    HUB.get_or_init(Registry::default)
}

impl Registry {
    /// Tells the hub of the workers' directories, in the order of their numbers; once.
    pub fn set_directories(&self, directories: Vec<Arc<WakeTable>>) {
        if self.directories.set(directories).is_err() {
            tracing::error!(
                "the workers' directories were set twice; this is a fault of the daemon"
            );
        }
    }

    /// Tells the hub who takes the dials of instances from now on. One that is at work finishes.
    pub fn set_dialler(&self, dialler: Box<Dialler>) {
        let mut place = self.dialler.write().unwrap_or_else(PoisonError::into_inner);
        let earlier = place.replace(Arc::from(dialler));
        drop(place);
        // What it holds may be much, and may ask the hub.
        drop(earlier);
    }

    /// Makes a number for an instance; `None` when all that an id can hold are used. Numbers are never used again,
    /// so that a stale one names nobody else: each costs the memory of its name.
    pub(crate) fn join(&self, name: &InstanceName) -> Option<(u32, Id)> {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let index = u32::try_from(members.len())
            .ok()
            .filter(|index| *index < SLOTS_MAX)?;
        members.push(Member {
            name: name.clone(),
            inbox: None,
        });
        Some((index, instance_id(index)))
    }

    pub(crate) fn set_inbox(&self, index: u32, inbox: Option<Arc<dyn Inbox>>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get_mut(index as usize) {
            member.inbox = inbox;
        }
    }

    /// Who an instance is.
    #[must_use]
    pub fn name_of(&self, index: u32) -> Option<InstanceName> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        Some(members.get(index as usize)?.name.clone())
    }

    /// The number of the instance that an id belongs to, if the id is alive.
    #[must_use]
    pub fn instance_of(&self, id: Id) -> Option<u32> {
        match id.kind()? {
            Kind::Instance => Some(id.slot()),
            Kind::Stream | Kind::Socket | Kind::Flow => self.directory(id)?.instance_of(id),
            Kind::Peer | Kind::Operation => None,
        }
    }

    fn directory(&self, id: Id) -> Option<&Arc<WakeTable>> {
        self.directories.get()?.get(usize::from(id.worker()))
    }

    /// Wakes a stream, socket, flow or instance.
    ///
    /// # Errors
    /// Gone, Invalid (no bit), Closing.
    pub fn wake(&self, target: Id, bits: u64) -> Result<(), HostError> {
        if bits == 0 {
            return Err(HostError::Invalid);
        }
        match target.kind() {
            Some(Kind::Stream | Kind::Socket | Kind::Flow) => self
                .directory(target)
                .ok_or(HostError::Gone)?
                .wake(target, bits),
            Some(Kind::Instance) => {
                let inbox = {
                    let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
                    let member = members.get(target.index()).ok_or(HostError::Gone)?;
                    if instance_id(target.slot()) != target {
                        return Err(HostError::Gone);
                    }
                    member.inbox.clone().ok_or(HostError::Gone)?
                };
                inbox.wake(bits)
            }
            _ => Err(HostError::Gone),
        }
    }

    /// Opens an operation of an instance: its id, and where its end will be told.
    pub(crate) fn begin_operation(&self, instance: u32) -> (Id, oneshot::Receiver<Completion>) {
        let number = self
            .next_operation
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        let id = Id::new(Kind::Operation, NO_WORKER, 0, number.max(1));
        let (sender, receiver) = oneshot::channel();
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, (instance, sender));
        (id, receiver)
    }

    /// Forgets an operation whose hook has ended or was given up.
    pub(crate) fn end_operation(&self, op: Id) {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&op);
    }

    /// Forgets all operations of an instance that is given up.
    pub(crate) fn end_operations_of(&self, instance: u32) {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, (of, _)| *of != instance);
    }

    /// Ends an operation.
    ///
    /// # Errors
    /// Gone, when it has ended, was given up, or never was.
    pub(crate) fn complete(&self, op: Id, completion: Completion) -> Result<(), HostError> {
        let open = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&op);
        let (_, sender) = open.ok_or(HostError::Gone)?;
        sender.send(completion).map_err(|_| HostError::Gone)
    }

    pub(crate) fn dial(&self, instance: Id, dial: Dial) -> Result<(), HostError> {
        let dialler = self
            .dialler
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        dialler.ok_or(HostError::Closing)?(instance.slot(), dial)
    }

    /// The metric cells of plugins.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The id of an instance by its number.
pub(crate) fn instance_id(index: u32) -> Id {
    Id::new(Kind::Instance, NO_WORKER, index, 1)
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_instances_end_with_a_word_instead_of_beginning_anew() {
        let hub = Registry::default();
        let name = InstanceName {
            instance: String::new(),
            plugin: String::new(),
            generation: 0,
        };
        for expected in 0..SLOTS_MAX {
            let (index, id) = hub.join(&name).unwrap();
            assert_eq!((index, id.slot()), (expected, expected));
        }
        assert_eq!(hub.join(&name), None);
    }

    #[test]
    fn dials_go_to_the_newest_dialler_and_the_earlier_one_is_dropped() {
        let dial = || Dial {
            target: crate::host_api::DialTarget::Unix("/nowhere".into()),
            timeout: std::time::Duration::ZERO,
            tag: 0,
        };
        let hub = Registry::default();
        assert_eq!(hub.dial(instance_id(4), dial()), Err(HostError::Closing));
        let held = Arc::new(());
        let of_first = Arc::clone(&held);
        hub.set_dialler(Box::new(move |_, _| {
            let _held = &of_first;
            Err(HostError::Full)
        }));
        assert_eq!(hub.dial(instance_id(4), dial()), Err(HostError::Full));
        hub.set_dialler(Box::new(|index, _| {
            assert_eq!(index, 4);
            Ok(())
        }));
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(hub.dial(instance_id(4), dial()), Ok(()));
    }

    #[test]
    fn the_operations_of_an_instance_that_is_given_up_are_gone_and_others_go_on() {
        let hub = Registry::default();
        let (of_it, _told) = hub.begin_operation(1);
        let (of_other, mut told) = hub.begin_operation(2);
        hub.end_operations_of(1);
        let done = Completion {
            status: 0,
            why: String::new(),
        };
        assert_eq!(hub.complete(of_it, done.clone()), Err(HostError::Gone));
        assert_eq!(hub.complete(of_other, done.clone()), Ok(()));
        assert_eq!(told.try_recv(), Ok(done));
    }
}
