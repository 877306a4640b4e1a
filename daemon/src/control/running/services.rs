//! Services as workers see them, made of the configuration and the running instances; and the quotas of their streams.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use polyport_config::Config;
use polyport_config::Service as ServiceConfig;

use super::instance::InstanceHandle;
use polyport_data::admit::{Limit, Permits};
use polyport_data::service::{Service, Timeouts};

/// Default of `timeouts.write`: no peer may hold output for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle timeout of what an instance dials on its own.
const DIAL_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The quota of all streams of the daemon.
#[derive(Debug, Clone)]
pub struct DaemonQuota {
    /// The bound.
    pub limit: Arc<Limit>,
    /// Set while an accept waits for a free place.
    wanted: Arc<AtomicBool>,
}

/// The quota of a service. It outlives changes of the service, because its streams continue to count.
#[derive(Debug, Clone)]
pub struct ServiceQuota {
    /// The bound of the service.
    pub limit: Arc<Limit>,
    /// Permits under this bound and that of the daemon.
    pub permits: Arc<Permits>,
}

impl Default for DaemonQuota {
    fn default() -> Self {
        Self {
            limit: Limit::new(u64::MAX),
            wanted: Arc::new(AtomicBool::new(false)),
        }
    }
}

impl DaemonQuota {
    fn permits(&self, limits: impl IntoIterator<Item = Arc<Limit>>) -> Arc<Permits> {
        let daemon = Arc::clone(&self.limit);
        let limits = std::iter::once(daemon).chain(limits).collect();
        Permits::new(limits, Arc::clone(&self.wanted))
    }
}

/// A quota for a new service.
pub fn quota(config: &ServiceConfig, daemon: &DaemonQuota) -> ServiceQuota {
    let limit = Limit::new(config.limits.streams.unwrap_or(u64::MAX));
    let permits = daemon.permits([Arc::clone(&limit)]);
    ServiceQuota { limit, permits }
}

/// A service and the instance that handles it.
pub fn service(
    service: &ServiceConfig,
    config: &Config,
    handle: &InstanceHandle,
    quota: &ServiceQuota,
) -> Service {
    Service {
        name: service.name.clone(),
        instance: Arc::clone(handle.hook_thread.instance()),
        hook_thread: Arc::clone(&handle.hook_thread),
        timeouts: Timeouts {
            first_byte: service.timeouts.first_byte,
            idle: service.timeouts.idle,
            write: service.timeouts.write.unwrap_or(WRITE_TIMEOUT),
            lifetime: service.timeouts.lifetime,
        },
        permits: Arc::clone(&quota.permits),
        grace: service.grace(&config.daemon),
        live: Arc::clone(&handle.live),
        in_use: handle.users.token(),
    }
}

/// Returns whether workers treat both alike.
pub fn is_same(one: &Service, other: &Service) -> bool {
    one.name == other.name
        && Arc::ptr_eq(&one.instance, &other.instance)
        && Arc::ptr_eq(&one.permits, &other.permits)
        && one.timeouts == other.timeouts
        && one.grace == other.grace
}

/// The pseudo-service for dials that an instance makes itself; `None` when the instance is about to end. Built per
/// dial, so that it keeps the instance alive only while a connection exists.
pub fn dialler(handle: &InstanceHandle, daemon: &DaemonQuota, grace: Duration) -> Option<Service> {
    let in_use = handle.dial_token()?;
    Some(Service {
        name: String::new(),
        instance: Arc::clone(handle.hook_thread.instance()),
        hook_thread: Arc::clone(&handle.hook_thread),
        timeouts: Timeouts {
            first_byte: None,
            idle: Some(DIAL_IDLE_TIMEOUT),
            write: WRITE_TIMEOUT,
            lifetime: None,
        },
        permits: daemon.permits([]),
        grace,
        live: Arc::clone(&handle.live),
        in_use,
    })
}
