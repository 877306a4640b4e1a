//! One run: a seed, so many steps, then the end of everything.

use crate::connections;
use crate::datagrams;
use crate::model;
use crate::phases;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use polyport_abi::PpHost;
use polyport_host::boundary::CallMarker;
use polyport_host::services::host_table;

use crate::control::{self, Control};
use crate::counts::Counts;
use crate::driver::Driver;
use crate::peers::Place;
use crate::random::Random;
use crate::simulation::{self, Simulation, with};
use crate::steps;
use crate::trace::Trace;

/// Where the clock of a run begins.
const START: u64 = 1_000_000_000;
/// Turns within which a worker comes to rest.
const TURNS_MAX: u32 = 2000;

/// What a run is.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// All that happens follows from it.
    pub seed: u64,
    /// Steps before the end.
    pub steps: u64,
    /// Keep the trace.
    pub trace: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The hash of all callbacks.
    pub hash: u64,
    /// How many callbacks there were.
    pub callbacks: u64,
    /// The first violation of the model.
    pub violation: Option<String>,
    /// The trace, if it was kept.
    pub lines: Vec<String>,
    pub(crate) counts: Counts,
}

/// What a thread keeps over its runs.
#[derive(Debug)]
pub struct Thread {
    place: Place,
    host: &'static PpHost,
    marker: &'static CallMarker,
}

impl Thread {
    /// For the thread of this number.
    ///
    /// # Errors
    /// The system has no more sockets.
    pub fn new(number: usize) -> Result<Self> {
        Ok(Self {
            place: Place::new(number)?,
            host: host_table(),
            marker: Box::leak(Box::default()),
        })
    }

    /// Runs one seed. A panic of the worker is a violation.
    ///
    /// # Errors
    /// The system has no more sockets.
    pub fn run(&mut self, setup: Setup) -> Result<Outcome> {
        let mut random = Random::new(setup.seed);
        let driver = Driver::new(self.marker, START)?;
        let services = random.between(1, 3);
        let services = usize::try_from(services).unwrap_or(1);
        let sim = Simulation {
            control: Control::new(&mut random),
            random,
            trace: Trace::new(setup.trace),
            counts: Counts::default(),
            remote: driver.remote().clone(),
            host: self.host,
            actors: Vec::new(),
            objects: BTreeMap::new(),
            peers: self.place.peers(services)?,
            dials: BTreeMap::new(),
            running: 0,
            importing: None,
            exporting: false,
            calm: false,
            violation: None,
        };
        simulation::enter(sim);
        let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            with(|sim| control::begin(sim, &mut self.place, services))?;
            play(&driver, setup.steps)
        }));
        match all {
            Ok(result) => result?,
            Err(_) => {
                // What is left of the worker is not to be trusted.
                std::mem::forget(driver);
                with(|sim| sim.violate("the worker has panicked"));
            }
        }
        let Some(sim) = simulation::exit() else {
            bail!("the run has no sim");
        };
        Ok(Outcome {
            hash: sim.trace.hash(),
            callbacks: sim.trace.callbacks(),
            violation: sim.violation,
            counts: sim.counts,
            lines: sim.trace.into_lines(),
        })
    }
}

/// All steps, then the end; ends early at a violation.
fn play(driver: &Driver, steps: u64) -> Result<()> {
    for step in 0..steps {
        let (turns, rests) = with(|sim| {
            sim.trace
                .step("--- step", &[("number", step), ("now", sim.now())]);
            steps::outside(sim, None);
            (sim.random.chance(70), sim.random.chance(7))
        });
        if rests {
            rest(driver)?;
        } else if turns {
            turn(driver)?;
        }
        if with(|sim| sim.violation.is_some()) || driver.is_done() {
            break;
        }
    }
    if with(|sim| sim.violation.is_none()) {
        end(driver)?;
    }
    Ok(())
}

fn turn(driver: &Driver) -> Result<()> {
    driver.turn()?;
    with(|sim| {
        connections::accept_dials(sim);
        model::take_failed_dials(sim);
    });
    Ok(())
}

/// Turns until the worker has nothing to do at once, and checks that nothing waits in vain.
fn rest(driver: &Driver) -> Result<()> {
    let mut quiet = 0;
    for _ in 0..TURNS_MAX {
        let before = with(|sim| sim.trace.callbacks());
        turn(driver)?;
        let after = with(|sim| sim.trace.callbacks());
        let waits = driver.sleep().is_none_or(|sleep| sleep > Duration::ZERO);
        quiet = if before == after && waits {
            quiet + 1
        } else {
            0
        };
        if with(|sim| sim.violation.is_some()) || driver.is_done() {
            return Ok(());
        }
        if quiet == 2 {
            with(model::check_rest);
            return Ok(());
        }
    }
    with(|sim| sim.violate("the worker does not come to rest"));
    Ok(())
}

/// Brings everything to its end: peers are responsive, handlers want nothing new, and time passes.
fn end(driver: &Driver) -> Result<()> {
    with(|sim| {
        sim.trace.step("--- end", &[]);
        sim.calm = true;
        while !sim.control.pauses.is_empty() {
            phases::resume(sim, 0);
        }
    });
    let orderly = with(|sim| sim.random.chance(50));
    if orderly {
        end_in_order(driver)?;
    }
    if with(|sim| sim.control.phase.is_none()) {
        with(|sim| phases::announce(sim, Some(2_000_000_000)));
        settle(driver)?;
        with(|sim| sim.remote.clock.advance(3_000_000_000));
        settle(driver)?;
    }
    if !driver.is_done() && with(|sim| sim.violation.is_none()) {
        with(|sim| phases::announce(sim, None));
        settle(driver)?;
    }
    if with(|sim| sim.violation.is_some()) {
        return Ok(());
    }
    if driver.is_done() {
        with(|sim| {
            for number in 0..sim.peers.connections.len() {
                connections::peer_reads(sim, number, usize::MAX);
            }
            model::check_end(sim);
        });
    } else {
        with(|sim| {
            let open = sim.objects.values().filter(|one| one.is_open());
            let open: Vec<_> = open.map(|one| (one.kind.name(), one.number)).collect();
            let live = sim.remote.live();
            sim.violate(format!(
                "the shutdown does not end: {live} live, open {open:?}"
            ));
        });
    }
    Ok(())
}

/// Every stream comes to its end by itself: its peer ends, and its handler does.
fn end_in_order(driver: &Driver) -> Result<()> {
    settle(driver)?;
    with(|sim| {
        for number in 0..sim.peers.connections.len() {
            connections::peer_ends(sim, number);
        }
        let streams = sim.open_objects(crate::counts::Kind::Stream);
        for id in streams {
            if sim.remote.wake(id, 1)
                && let Some(object) = sim.objects.get_mut(&id)
            {
                object.woken |= 1;
            }
        }
    });
    for _ in 0..3 {
        settle(driver)?;
        with(|sim| sim.remote.clock.advance(1_000_000_000));
    }
    settle(driver)
}

/// Rests while the peers read all that comes.
fn settle(driver: &Driver) -> Result<()> {
    for _ in 0..TURNS_MAX {
        rest(driver)?;
        let read = with(|sim| {
            let before: u64 = sim.peers.connections.iter().map(|one| one.received).sum();
            for number in 0..sim.peers.connections.len() {
                connections::peer_reads(sim, number, usize::MAX);
            }
            for peer in 0..sim.peers.datagram.len() {
                datagrams::datagram_reads(sim, peer, 100);
            }
            let after: u64 = sim.peers.connections.iter().map(|one| one.received).sum();
            before != after
        });
        if !read || with(|sim| sim.violation.is_some()) {
            return Ok(());
        }
    }
    with(|sim| sim.violate("output does not end"));
    Ok(())
}
