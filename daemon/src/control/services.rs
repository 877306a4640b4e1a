//! Services as workers see them: made of the configuration and the instances that live.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use polyport_config::Config;

use super::life::Life;
use crate::data::admit::{Limit, Permits};
use crate::data::service::{Service, Timeouts};

/// The services, and the bound that all streams of the daemon share.
#[derive(Debug)]
pub struct Services {
    /// In the order of the configuration.
    pub all: Vec<Arc<Service>>,
    /// Of all streams.
    pub daemon: Arc<Limit>,
    /// Somebody waits for room.
    pub wanted: Arc<AtomicBool>,
}

/// The services of a configuration, for the instances that live.
#[must_use]
pub fn services(life: &Life, config: &Config) -> Services {
    let wanted = Arc::new(AtomicBool::new(false));
    let daemon = Limit::new(config.daemon.limits.streams);
    let made = config.services.iter().filter_map(|service| {
        // Each has a bound of its own, also to count what lives.
        let own = Limit::new(service.limits.streams.unwrap_or(u64::MAX));
        let limits = vec![Arc::clone(&daemon), own];
        let timeouts = Timeouts {
            first_byte: service.timeouts.first_byte,
            idle: service.timeouts.idle,
            write: service.timeouts.write.unwrap_or(WRITE_TIMEOUT),
            lifetime: service.timeouts.lifetime,
        };
        let permits = Permits::new(limits, Arc::clone(&wanted));
        Some(Arc::new(service_of(
            life,
            &service.handler,
            service.name.clone(),
            timeouts,
            permits,
        )?))
    });
    let all = made.collect();
    Services {
        all,
        daemon,
        wanted,
    }
}

fn service_of(
    life: &Life,
    instance: &str,
    name: String,
    timeouts: Timeouts,
    permits: Arc<Permits>,
) -> Option<Service> {
    let held = life
        .instances
        .iter()
        .find(|held| held.keeper.instance().name().instance == instance)?;
    let keeper = Arc::clone(&held.keeper);
    Some(Service {
        name,
        instance: Arc::clone(keeper.instance()),
        keeper,
        timeouts,
        permits,
        grace: life.drain_timeout,
        live: Arc::clone(&held.live),
        in_use: held.in_use.pass(),
    })
}

/// What the dials of instances count against, by the number of the instance.
#[must_use]
pub fn diallers(life: &Life, services: &Services) -> Vec<(u32, Arc<Service>)> {
    let timeouts = Timeouts {
        first_byte: None,
        idle: Some(DIALLED_IDLE),
        write: WRITE_TIMEOUT,
        lifetime: None,
    };
    let made = life.instances.iter().filter_map(|held| {
        let instance = held.keeper.instance();
        let permits = Permits::new(
            vec![Arc::clone(&services.daemon)],
            Arc::clone(&services.wanted),
        );
        let name = &instance.name().instance;
        let service = service_of(life, name, String::new(), timeouts, permits)?;
        Some((instance.index(), Arc::new(service)))
    });
    made.collect()
}

/// When a service says nothing: nobody may hold output for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For what an instance dials on its own.
const DIALLED_IDLE: Duration = Duration::from_secs(300);
