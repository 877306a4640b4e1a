//! Permits: limits on streams, of the daemon and of a service. A permit is taken before the accept, so connections above
//! the limit wait in the kernel's queue; it is given back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One limit on streams, shared by everything that it limits.
#[derive(Debug)]
pub struct Limit {
    used: AtomicU64,
    max: AtomicU64,
}

impl Limit {
    /// None in use.
    #[must_use]
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            max: AtomicU64::new(max),
        })
    }

    /// How many are in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Changes the limit. Streams above it stay; no further one is admitted until there is room.
    pub fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let next = |used: u64| (used < max).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, next)
            .is_ok()
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The limits that a stream of a service counts against, the widest first.
#[derive(Debug)]
pub struct Permits {
    limits: Vec<Arc<Limit>>,
    /// A listener was refused a permit and waits for one.
    wanted: Arc<AtomicBool>,
}

/// The right to one stream; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
}

impl Permits {
    /// All of these must have room. `wanted` is shared by all permits that share a limit.
    #[must_use]
    pub fn new(limits: Vec<Arc<Limit>>, wanted: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { limits, wanted })
    }

    /// Takes a permit, or notes that a listener waits for one.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        for (taken, limit) in self.limits.iter().enumerate() {
            if !limit.take() {
                self.give_back(taken);
                self.wanted.store(true, Ordering::Release);
                return None;
            }
        }
        Some(Permit {
            permits: Arc::clone(self),
        })
    }

    /// Gives back the first `count` limits.
    fn give_back(&self, count: usize) {
        self.limits
            .iter()
            .take(count)
            .for_each(|limit| limit.give_back());
    }

    /// Does a listener wait for a permit? The note is cleared.
    #[must_use]
    pub fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::AcqRel)
    }
}

impl Permit {
    /// The limits that it counts against.
    #[must_use]
    pub fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.give_back(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_every_permit_comes_back() {
        let wanted = Arc::new(AtomicBool::new(false));
        let (daemon, service) = (Limit::new(3), Limit::new(2));
        let of_service = Permits::new(vec![daemon.clone(), service.clone()], wanted.clone());
        let of_other = Permits::new(vec![daemon.clone()], wanted);
        let (one, two) = (of_service.take().unwrap(), of_service.take().unwrap());
        assert!(of_service.take().is_none());
        assert_eq!(
            daemon.used(),
            2,
            "the wide bound is given back when the narrow one is full"
        );
        let three = of_other.take().unwrap();
        assert!(of_other.take().is_none());
        assert!(of_other.take_wanted());
        assert!(!of_other.take_wanted());
        drop((one, two, three));
        assert_eq!((daemon.used(), service.used()), (0, 0));
    }

    #[test]
    fn a_bound_can_be_set_anew_below_what_is_in_use() {
        let limit = Limit::new(2);
        let permits = Permits::new(vec![limit.clone()], Arc::default());
        let (one, two) = (permits.take().unwrap(), permits.take().unwrap());
        limit.set_max(1);
        drop(one);
        assert!(permits.take().is_none());
        limit.set_max(2);
        let three = permits.take().unwrap();
        drop((two, three));
        assert_eq!(limit.used(), 0);
    }
}
