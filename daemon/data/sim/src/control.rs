//! Control, as the worker sees it: services, snapshots, pauses, hand-overs and the shutdown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use polyport_common::shutdown::Phase;
use polyport_common::wait_group::WaitGroup;
use polyport_sys::{PeerAddress, bind_unix, bind_unixgram};

use crate::actor::{Actor, Traits};
use crate::driver::{
    DatagramListener, Leaving, Limit, Listener, Origin, OwnSocket, Permits, Service, Timeouts,
};
use crate::peers::Place;
use crate::random::Random;
use crate::reload;
use crate::simulation::Simulation;

/// What control has configured, and what it has sent.
pub(crate) struct Control {
    pub(crate) services: Vec<Configured>,
    pub(crate) daemon_limit: Arc<Limit>,
    pub(crate) number: u64,
    pub(crate) pauses: Vec<Pause>,
    pub(crate) leaving: Vec<Leaving>,
    /// Another process accepts for now, or for good.
    pub(crate) suspended: bool,
    pub(crate) handed_off: bool,
    pub(crate) phase: Option<Phase>,
    /// The end of the grace of the shutdown, nanoseconds.
    pub(crate) deadline: u64,
    pub(crate) snapshots: Vec<WaitGroup>,
}

/// A service with a listener and a datagram socket.
pub(crate) struct Configured {
    pub(crate) name: String,
    pub(crate) actor: usize,
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) grace: Duration,
    pub(crate) limit: Arc<Limit>,
    pub(crate) listener: Option<Arc<Listener>>,
    pub(crate) path: PathBuf,
    pub(crate) port: Option<Arc<DatagramListener>>,
    pub(crate) port_path: PathBuf,
    /// All actors that it has had.
    pub(crate) actors: Vec<usize>,
}

/// A pause that was sent and is not resumed.
pub(crate) struct Pause {
    pub(crate) instances: Arc<[u32]>,
    pub(crate) actors: Vec<usize>,
    /// Empty once the worker has applied it.
    pub(crate) applied: WaitGroup,
}

pub(crate) fn random_timeouts(random: &mut Random) -> Timeouts {
    let mut some = |percent: u64, from: u64, to: u64| {
        random
            .chance(percent)
            .then(|| Duration::from_millis(random.between(from, to)))
    };
    Timeouts {
        first_byte: some(30, 50, 3000),
        idle: some(40, 100, 5000),
        lifetime: some(20, 1000, 20_000),
        write: some(50, 50, 1000).unwrap_or(Duration::from_secs(60)),
    }
}

impl Control {
    pub(crate) fn new(random: &mut Random) -> Self {
        let daemon = if random.chance(20) {
            random.between(4, 12)
        } else {
            u64::MAX
        };
        Self {
            services: Vec::new(),
            daemon_limit: Limit::new(daemon),
            number: 0,
            pauses: Vec::new(),
            leaving: Vec::new(),
            suspended: false,
            handed_off: false,
            phase: None,
            deadline: 0,
            snapshots: Vec::new(),
        }
    }

    /// Is nothing of this actor to be called, as far as control knows that the worker knows?
    pub(crate) fn is_paused(&self, actor: usize) -> bool {
        self.phase.is_none()
            && self
                .pauses
                .iter()
                .any(|one| one.applied.is_empty() && one.actors.contains(&actor))
    }

    /// Was a pause sent that is not resumed?
    pub(crate) fn has_pause(&self, actor: usize) -> bool {
        self.pauses.iter().any(|one| one.actors.contains(&actor))
    }

    pub(crate) fn port_path(&self, port: usize) -> Option<&Path> {
        let service = self.services.get(port)?;
        service.port.as_ref().map(|_| service.port_path.as_path())
    }
}

impl Configured {
    /// Binds the sockets of a service.
    pub(crate) fn bind(place: &mut Place, random: &mut Random, number: usize) -> Result<Self> {
        let (path, port_path) = (place.path(), place.path());
        let listening = bind_unix(&path, None, None, 64)?;
        // The address is a name for the log and for snapshots.
        let address = format!("unix:{number}");
        let listener = Listener::new(address.clone(), None, listening, Origin::Bound);
        let port = DatagramListener {
            address,
            socket: OwnSocket::new(bind_unixgram(&port_path, None, None)?, Origin::Bound),
            worker: 0,
            granted: None,
            dropped_by_kernel: 0.into(),
        };
        let limit = if random.chance(25) {
            random.between(1, 6)
        } else {
            u64::MAX
        };
        Ok(Self {
            name: format!("s{number}"),
            actor: number,
            service: None,
            timeouts: random_timeouts(random),
            grace: Duration::from_millis(random.between(10, 4000)),
            limit: Limit::new(limit),
            listener: Some(Arc::new(listener)),
            path,
            port: Some(Arc::new(port)),
            port_path,
            actors: vec![number],
        })
    }
}

/// A service of an actor.
pub(crate) fn service(
    sim: &Simulation,
    name: &str,
    actor: usize,
    of: &Configured,
) -> Option<Arc<Service>> {
    let actor = sim.actors.get(actor)?;
    let limits = vec![Arc::clone(&sim.control.daemon_limit), Arc::clone(&of.limit)];
    Some(Arc::new(Service {
        name: name.to_owned(),
        instance: Arc::clone(&actor.instance),
        hook_thread: Arc::clone(&actor.hook_thread),
        timeouts: of.timeouts,
        permits: Permits::new(limits, Arc::default()),
        grace: of.grace,
        live: Arc::clone(&actor.live),
        in_use: actor.in_use.token(),
    }))
}

/// The name of a connection, as the peer's address has it.
pub(crate) fn connection_name(number: usize) -> PeerAddress {
    PeerAddress::Unix(Some(format!("\0connection-{number}").into_bytes()))
}

/// The first snapshot.
pub(crate) fn begin(sim: &mut Simulation, place: &mut Place, services: usize) -> Result<()> {
    for number in 0..services {
        let traits = Traits::random(&mut sim.random);
        sim.trace
            .step(&format!("new actor {number}: {traits:?}"), &[]);
        let actor = Actor::new(&sim.remote.registry, number, traits)?;
        sim.actors.push(actor);
        let of = Configured::bind(place, &mut sim.random, number)?;
        sim.control.services.push(of);
    }
    reload::send_snapshot(sim);
    Ok(())
}
