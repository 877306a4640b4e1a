//! Load as heavy as a server bears, for measuring what an operation costs it. Unlike the rest of
//! this crate it never sleeps: a sleeping client must be woken, the server pays for that, and the
//! faster the server, the more often. Every answer is compared with what was sent.
//!
//! The caller measures: [`saturate`] calls it back once for each batch of events.

mod streams;
mod visits;
mod datagrams;
mod payload;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

pub use streams::Streams;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How the load is spread, and what it sends.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// One message in flight on each open stream.
    Streams {
        /// Open streams.
        count: u32,
        /// Size of a message.
        bytes: usize,
    },
    /// Messages at a fixed rate over open streams, whether or not answers came.
    Paced {
        /// Open streams.
        count: u32,
        /// Size of a message.
        bytes: usize,
        /// Messages a second over all streams.
        rate: f64,
    },
    /// Connect, one message, its answer, close.
    Visits {
        /// Visits at a time.
        count: u32,
        /// Size of a message.
        bytes: usize,
    },
    /// A window of datagrams in flight from each peer.
    Datagrams {
        /// Sockets that send.
        peers: u32,
        /// Datagrams in flight for each.
        window: u32,
        /// Size of a datagram.
        bytes: usize,
        /// How they are given to the kernel.
        sending: Sending,
    },
}

/// How a UDP peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// One call a datagram, as answers come.
    Single,
    /// The whole window by one sendmmsg, when all its answers are there.
    Batch,
    /// The whole window as one `UDP_SEGMENT` send.
    Segmented,
}

/// What a load found beside the number of operations.
#[derive(Debug, Default)]
pub struct Findings {
    /// Datagrams that never came back.
    pub lost: u64,
    /// Latency of each paced message, in the order of the answers.
    pub latencies: Vec<Duration>,
}

/// Loads the server until `is_over` returns true. It is called first when all connections are
/// open, and then after each batch of events, with the number of right answers so far.
///
/// # Errors
/// The server fails, or an answer is not what was sent.
pub fn saturate(
    server: SocketAddr,
    shape: Shape,
    is_over: &mut dyn FnMut(u64) -> Result<bool>,
) -> Result<Findings> {
    match shape {
        Shape::Streams { count, bytes } => {
            Streams::open(server, count, bytes)?.ping_pong(is_over)?;
        }
        Shape::Paced { count, bytes, rate } => {
            let latencies = Streams::open(server, count, bytes)?.pace(rate, is_over)?;
            return Ok(Findings { lost: 0, latencies });
        }
        Shape::Visits { count, bytes } => visits::run(server, count, bytes, is_over)?,
        Shape::Datagrams { .. } => {
            let lost = datagrams::run(server, shape, is_over)?;
            return Ok(Findings {
                lost,
                ..Findings::default()
            });
        }
    }
    Ok(Findings::default())
}
