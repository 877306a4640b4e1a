//! Services as workers see them: made of the configuration and the instances that live.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use polyport_config::Config;
use polyport_config::Service as Wanted;

use crate::control::running::state::{InstanceHandle, ServiceQuota};
use polyport_data::admit::{Limit, Permits};
use polyport_data::service::{Service, Timeouts};

/// When a service says nothing: nobody may hold output for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For what an instance dials on its own.
const DIALLED_IDLE: Duration = Duration::from_secs(300);

/// `ServiceQuota` for all streams of the daemon.
#[derive(Debug, Clone)]
pub struct DaemonQuota {
    /// The bound.
    pub limit: Arc<Limit>,
    /// Somebody waits for room.
    wanted: Arc<AtomicBool>,
}

impl Default for DaemonQuota {
    fn default() -> Self {
        Self {
            limit: Limit::new(u64::MAX),
            wanted: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// `ServiceQuota` for the streams of a service.
#[must_use]
pub fn room(wanted: &Wanted, daemon: &DaemonQuota) -> ServiceQuota {
    let limit = Limit::new(wanted.limits.streams.unwrap_or(u64::MAX));
    let limits = vec![Arc::clone(&daemon.limit), Arc::clone(&limit)];
    ServiceQuota {
        limit,
        permits: Permits::new(limits, Arc::clone(&daemon.wanted)),
    }
}

/// A service with the instance behind it.
#[must_use]
pub fn service(
    wanted: &Wanted,
    config: &Config,
    handle: &InstanceHandle,
    room: &ServiceQuota,
) -> Service {
    Service {
        name: wanted.name.clone(),
        instance: Arc::clone(handle.hook_thread.instance()),
        hook_thread: Arc::clone(&handle.hook_thread),
        timeouts: Timeouts {
            first_byte: wanted.timeouts.first_byte,
            idle: wanted.timeouts.idle,
            write: wanted.timeouts.write.unwrap_or(WRITE_TIMEOUT),
            lifetime: wanted.timeouts.lifetime,
        },
        permits: Arc::clone(&room.permits),
        grace: wanted.grace(&config.daemon),
        live: Arc::clone(&handle.live),
        in_use: handle.users.token(),
    }
}

/// Do workers do the same by both?
#[must_use]
pub fn same(one: &Service, other: &Service) -> bool {
    one.name == other.name
        && Arc::ptr_eq(&one.instance, &other.instance)
        && Arc::ptr_eq(&one.permits, &other.permits)
        && one.timeouts == other.timeouts
        && one.grace == other.grace
}

/// What a dial of an instance counts against; made for each dial, so that only what lives holds the instance. `None`
/// when the instance is about to end.
#[must_use]
pub fn dialler(handle: &InstanceHandle, daemon: &DaemonQuota, grace: Duration) -> Option<Service> {
    let in_use = handle.dial_pass()?;
    let limits = vec![Arc::clone(&daemon.limit)];
    Some(Service {
        name: String::new(),
        instance: Arc::clone(handle.hook_thread.instance()),
        hook_thread: Arc::clone(&handle.hook_thread),
        timeouts: Timeouts {
            first_byte: None,
            idle: Some(DIALLED_IDLE),
            write: WRITE_TIMEOUT,
            lifetime: None,
        },
        permits: Permits::new(limits, Arc::clone(&daemon.wanted)),
        grace,
        live: Arc::clone(&handle.live),
        in_use,
    })
}
