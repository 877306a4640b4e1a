//! The load generator: a process of its own on its own processor, which loads one server by
//! `polyport-load` and reads what the server has used meanwhile.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use polyport_load::{OpenStreams, saturate};

use crate::cases::{self, Shape};
use crate::cli::LoadOptions;
use crate::meter::{Outcome, Turn, Window, anonymous_bytes};

/// Of a fixed rate, at least this share must have come back.
const RATE_HELD: f64 = 0.97;
/// A few streams first, so that what the server allocates once is not counted.
const IDLE_FIRST: u32 = 8;
/// In which the server may free what it does not need.
const IDLE_SETTLE: Duration = Duration::from_millis(500);

/// Loads the server and prints the outcome as one line of JSON.
pub(crate) fn run(options: &LoadOptions) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let outcome = match cases::named(&options.case)?.shape {
        Shape::Idle { streams, bytes } => idle(options, streams, bytes),
        Shape::Busy(shape) => busy(options, shape),
    }?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

fn busy(options: &LoadOptions, mut shape: polyport_load::Shape) -> Result<Outcome> {
    if let polyport_load::Shape::Paced { rate, .. } = &mut shape {
        *rate = options.rate;
    }
    let mut window: Option<Window> = None;
    let mut outcome = Outcome::default();
    let found = saturate(options.server_address(), shape, &mut |operations| {
        // It opens when the connections have been made.
        let window = match &mut window {
            Some(window) => window,
            None => window.insert(Window::new(
                Pid::from_raw(options.server),
                Duration::from_millis(options.warmup_ms),
                Duration::from_millis(options.measure_ms),
            )?),
        };
        match window.turn(operations)? {
            Turn::Continue => Ok(false),
            Turn::Done(done) => {
                outcome = done;
                Ok(true)
            }
        }
    })?;
    outcome.lost = found.lost;
    if let polyport_load::Shape::Paced { rate, .. } = shape {
        latency(&mut outcome, found.latencies, rate)?;
    }
    Ok(outcome)
}

/// Adds the latencies of the window, which are the last ones.
fn latency(outcome: &mut Outcome, mut times: Vec<Duration>, rate: f64) -> Result<()> {
    let reached = outcome.operations as f64 / outcome.wall_us * 1e6;
    ensure!(
        reached >= RATE_HELD * rate,
        "{reached:.0} of {rate:.0} messages a second came back"
    );
    let operations = usize::try_from(outcome.operations)?;
    let mut times = times.split_off(times.len().saturating_sub(operations));
    times.sort_unstable();
    let at = |place: usize| {
        times
            .get(place)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    outcome.p50_us = at(times.len() / 2);
    outcome.p99_us = at(times.len() * 99 / 100);
    Ok(())
}

/// Silent streams: how much the server keeps for each of them in its own memory.
fn idle(options: &LoadOptions, streams: u32, bytes: usize) -> Result<Outcome> {
    let server = Pid::from_raw(options.server);
    let first = OpenStreams::open(options.server_address(), IDLE_FIRST, bytes)?;
    settle();
    let before = anonymous_bytes(server)?;
    let open = OpenStreams::open(options.server_address(), streams, bytes)?;
    settle();
    let after = anonymous_bytes(server).context("the server is gone")?;
    drop((first, open));
    Ok(Outcome {
        operations: u64::from(streams),
        bytes_per_stream: after.saturating_sub(before) as f64 / f64::from(streams),
        ..Outcome::default()
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that the server has freed all that it will free"
)]
fn settle() {
    thread::sleep(IDLE_SETTLE);
}

impl LoadOptions {
    fn server_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}
