//! The load generator: a process of its own on its own processor, plain epoll, no runtime.
//! Each shape of load is one file; what they share (payload, epoll set) stands beside them.

mod tcp;
mod connect;
mod idle;
mod paced;
mod udp;

mod payload;
mod poll;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::cases::{self, Shape};
use crate::cli::LoadOptions;
use crate::meter::Window;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The server under load.
#[derive(Clone, Copy, Debug)]
struct Aim {
    address: SocketAddr,
    process: Pid,
    warmup: Duration,
    measure: Duration,
}

/// Loads the server and prints the outcome as one line of JSON.
pub(crate) fn run(options: &LoadOptions) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let aim = Aim {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
        process: Pid::from_raw(options.server),
        warmup: Duration::from_millis(options.warmup_ms),
        measure: Duration::from_millis(options.measure_ms),
    };
    let outcome = match cases::named(&options.case)?.shape {
        Shape::TcpEcho { streams, bytes } => tcp::run(&aim, streams, bytes),
        Shape::Connect { slots, bytes } => connect::run(&aim, slots, bytes),
        Shape::Idle { streams, bytes } => idle::run(&aim, streams, bytes),
        Shape::Paced { streams, bytes } => paced::run(&aim, streams, bytes, options.rate),
        Shape::UdpEcho {
            peers,
            window,
            bytes,
            sending,
        } => udp::run(
            &aim,
            udp::Plan {
                peers,
                window,
                bytes,
                sending,
            },
        ),
    }?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

impl Aim {
    /// Opens the window; connections are made before.
    fn window(&self) -> Result<Window> {
        Window::new(self.process, self.warmup, self.measure)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_WITHIN)
            .context("the server does not accept")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
