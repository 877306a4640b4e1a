//! What host functions reach from any thread, also from a plugin's own: the wake tables of all workers, the instances
//! by number, the operations that hooks left open, and the metrics.
//!
//! A registry is a value, so that one process can have several: each test, each simulation its own. The functions of
//! `pp_host` get no context argument (ABI 1). On a worker and on a hook thread they find the registry that
//! [`serve`](crate::boundary::serve) or the instance brought; on any other thread, which only a plugin can have
//! started, they use [`registry`], the one of the process. The daemon has no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{
    Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};

use tokio::sync::oneshot;

use crate::host_api::Dial;
use crate::id::{Id, Kind, NO_WORKER, SLOTS_MAX};
use crate::metrics::Metrics;
use crate::status::HostError;
use crate::wake_table::WakeTable;

/// See the module's text.
#[derive(Default)]
pub struct Registry {
    wake_tables: OnceLock<Vec<Arc<WakeTable>>>,
    dialler: RwLock<Option<Arc<Dialler>>>,
    members: RwLock<Members>,
    /// By id, with the instance whose hook goes on.
    operations: Mutex<HashMap<Id, (Id, oneshot::Sender<Completion>)>>,
    last_operation: AtomicU32,
    metrics: Metrics,
}

/// Name, plugin and generation of an instance, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceName {
    /// Name in the configuration.
    pub instance: String,
    /// Name of the plugin's file, without `lib` and suffix.
    pub plugin: String,
    /// Which copy of the plugin's code.
    pub generation: u64,
}

/// The inbox of an instance.
pub(crate) trait Wakeable: Send + Sync {
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

/// Instances by number. A number is used again, with the next version, once its instance is dropped.
#[derive(Default)]
struct Members {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    version: u32,
    member: Option<Member>,
}

struct Member {
    name: InstanceName,
    /// `None` before the hook thread starts and after the last hook.
    inbox: Option<Arc<dyn Wakeable>>,
}

impl Members {
    fn get(&self, id: Id) -> Option<&Member> {
        let slot = self.slots.get(id.index())?;
        slot.member.as_ref().filter(|_| is_instance(id, slot))
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Member> {
        let slot = self.slots.get_mut(id.index())?;
        let is_current = is_instance(id, slot);
        slot.member.as_mut().filter(|_| is_current)
    }
}

fn is_instance(id: Id, slot: &Slot) -> bool {
    id == Id::new(Kind::Instance, NO_WORKER, id.slot(), slot.version)
}

/// The registry of the process, see the module's text.
pub fn registry() -> &'static Arc<Registry> {
    static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(Arc::default);
    &REGISTRY
}

impl Registry {
    /// Sets the workers' wake tables, in the order of their numbers; once.
    pub fn set_wake_tables(&self, tables: Vec<Arc<WakeTable>>) {
        if self.wake_tables.set(tables).is_err() {
            tracing::error!(
                "the workers' directories were set twice; this is a fault of the daemon"
            );
        }
    }

    /// Sets the function that takes the dials of instances from now on. A call of the one before it goes on.
    pub fn set_dialler(&self, dialler: Box<Dialler>) {
        let mut place = self.dialler.write().unwrap_or_else(PoisonError::into_inner);
        let earlier = place.replace(Arc::from(dialler));
        drop(place);
        // Dropped without the lock: it may own much, and its destructors may use the registry.
        drop(earlier);
    }

    /// Gives an instance a number; `None` while all that an id can hold are in use. The number of the id is the
    /// instance's until [`leave`](Self::leave).
    pub(crate) fn join(&self, name: InstanceName) -> Option<Id> {
        let mut members = self.members_mut();
        let Members { slots, free } = &mut *members;
        let index = match free.pop() {
            Some(index) => index,
            None => {
                let last = u32::try_from(slots.len()).ok();
                let index = last.filter(|index| *index < SLOTS_MAX)?;
                slots.push(Slot::default());
                index
            }
        };
        let slot = slots.get_mut(index as usize)?;
        slot.version = slot.version.wrapping_add(1).max(1);
        slot.member = Some(Member { name, inbox: None });
        Some(Id::new(Kind::Instance, NO_WORKER, index, slot.version))
    }

    /// Frees the number of an instance of which nothing is left. Its id is stale from now on.
    pub(crate) fn leave(&self, instance: Id) {
        self.end_operations_of(instance);
        self.metrics.remove(instance);
        let mut members = self.members_mut();
        if members.get(instance).is_some()
            && let Some(slot) = members.slots.get_mut(instance.index())
        {
            slot.member = None;
            members.free.push(instance.slot());
        }
    }

    pub(crate) fn set_inbox(&self, instance: Id, inbox: Option<Arc<dyn Wakeable>>) {
        let mut members = self.members_mut();
        if let Some(member) = members.get_mut(instance) {
            member.inbox = inbox;
        }
    }

    /// The name of the instance of this number.
    #[must_use]
    pub fn name_of(&self, index: u32) -> Option<InstanceName> {
        let members = self.members();
        let slot = members.slots.get(index as usize)?;
        Some(slot.member.as_ref()?.name.clone())
    }

    /// The number of the instance that an id belongs to, if the id is alive.
    #[must_use]
    pub fn instance_of(&self, id: Id) -> Option<u32> {
        match id.kind()? {
            Kind::Instance => {
                let members = self.members();
                members.get(id).map(|_| id.slot())
            }
            Kind::Stream | Kind::Socket | Kind::Flow => self.wake_table(id)?.instance_of(id),
            Kind::Peer | Kind::Operation => None,
        }
    }

    fn wake_table(&self, id: Id) -> Option<&Arc<WakeTable>> {
        self.wake_tables.get()?.get(usize::from(id.worker()))
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
                .wake_table(target)
                .ok_or(HostError::Gone)?
                .wake(target, bits),
            Some(Kind::Instance) => {
                let inbox = {
                    let members = self.members();
                    members.get(target).and_then(|member| member.inbox.clone())
                };
                inbox.ok_or(HostError::Gone)?.wake(bits)
            }
            _ => Err(HostError::Gone),
        }
    }

    fn members(&self) -> RwLockReadGuard<'_, Members> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn members_mut(&self) -> RwLockWriteGuard<'_, Members> {
        self.members.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn operations(&self) -> MutexGuard<'_, HashMap<Id, (Id, oneshot::Sender<Completion>)>> {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an operation of an instance: its id, and the receiver of its completion.
    pub(crate) fn begin_operation(&self, instance: Id) -> (Id, oneshot::Receiver<Completion>) {
        let last = self.last_operation.fetch_add(1, Ordering::Relaxed);
        let id = Id::new(Kind::Operation, NO_WORKER, 0, last.wrapping_add(1).max(1));
        let (sender, receiver) = oneshot::channel();
        self.operations().insert(id, (instance, sender));
        (id, receiver)
    }

    /// Forgets an operation whose hook has ended or was given up.
    pub(crate) fn end_operation(&self, op: Id) {
        self.operations().remove(&op);
    }

    /// Forgets all operations of an instance that is given up.
    pub(crate) fn end_operations_of(&self, instance: Id) {
        self.operations().retain(|_, (of, _)| *of != instance);
    }

    /// Ends an operation.
    ///
    /// # Errors
    /// Gone, when it has ended, was given up, or never was.
    pub(crate) fn complete(&self, op: Id, completion: Completion) -> Result<(), HostError> {
        let (_, sender) = self.operations().remove(&op).ok_or(HostError::Gone)?;
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

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(instance: &str) -> InstanceName {
        InstanceName {
            instance: instance.to_owned(),
            plugin: String::new(),
            generation: 0,
        }
    }

    struct Woken(Mutex<u64>);

    impl Wakeable for Woken {
        fn wake(&self, bits: u64) -> Result<(), HostError> {
            *self.0.lock().unwrap() |= bits;
            Ok(())
        }
    }

    #[test]
    fn registry_numbers_of_instances_are_used_again_and_a_stale_id_stays_refused() {
        let registry = Registry::default();
        let first = registry.join(name("first")).unwrap();
        let (op, _completed) = registry.begin_operation(first);
        registry.leave(first);
        registry.leave(first);
        let second = registry.join(name("second")).unwrap();
        let third = registry.join(name("third")).unwrap();
        assert_eq!((first.slot(), second.slot(), third.slot()), (0, 0, 1));
        let inbox = Arc::new(Woken(Mutex::new(0)));
        registry.set_inbox(second, Some(Arc::clone(&inbox) as Arc<dyn Wakeable>));
        registry.set_inbox(first, None);
        assert_eq!(registry.wake(first, 1), Err(HostError::Gone));
        assert_eq!(registry.instance_of(first), None);
        let done = Completion {
            status: 0,
            why: String::new(),
        };
        assert_eq!(registry.complete(op, done), Err(HostError::Gone));
        assert_eq!(registry.wake(second, 2), Ok(()));
        assert_eq!(*inbox.0.lock().unwrap(), 2);
        assert_eq!(registry.instance_of(second), Some(0));
        assert_eq!(registry.name_of(0), Some(name("second")));
    }

    #[test]
    fn registry_refuses_an_instance_only_while_all_numbers_are_in_use() {
        let registry = Registry::default();
        let all: Vec<_> = (0..SLOTS_MAX)
            .map(|_| registry.join(name("")).unwrap())
            .collect();
        assert_eq!(registry.join(name("")), None);
        registry.leave(all[7]);
        assert_eq!(registry.join(name("")).map(Id::slot), Some(7));
        assert_eq!(registry.join(name("")), None);
    }
    #[test]
    fn registry_dials_go_to_the_newest_dialler_and_the_earlier_one_is_dropped() {
        let dial = || Dial {
            target: crate::host_api::DialTarget::Unix("/nowhere".into()),
            timeout: std::time::Duration::ZERO,
            tag: 0,
        };
        let registry = Registry::default();
        let instance = Id::new(Kind::Instance, NO_WORKER, 4, 1);
        assert_eq!(registry.dial(instance, dial()), Err(HostError::Closing));
        let held = Arc::new(());
        let of_first = Arc::clone(&held);
        registry.set_dialler(Box::new(move |_, _| {
            let _held = &of_first;
            Err(HostError::Full)
        }));
        assert_eq!(registry.dial(instance, dial()), Err(HostError::Full));
        registry.set_dialler(Box::new(|index, _| {
            assert_eq!(index, 4);
            Ok(())
        }));
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(registry.dial(instance, dial()), Ok(()));
    }

    #[test]
    fn registry_operations_of_an_instance_that_is_given_up_are_gone_and_others_go_on() {
        let registry = Registry::default();
        let [one, other] = [1, 2].map(|slot| Id::new(Kind::Instance, NO_WORKER, slot, 1));
        let (of_it, _completed) = registry.begin_operation(one);
        let (of_other, mut completed) = registry.begin_operation(other);
        registry.end_operations_of(one);
        let done = Completion {
            status: 0,
            why: String::new(),
        };
        assert_eq!(registry.complete(of_it, done.clone()), Err(HostError::Gone));
        assert_eq!(registry.complete(of_other, done.clone()), Ok(()));
        assert_eq!(completed.try_recv(), Ok(done));
    }
}
