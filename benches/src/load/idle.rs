//! Silent streams: what the server keeps for each of them in its own memory.

use std::time::Duration;

use anyhow::Result;

use super::Aim;
use super::tcp::Round;
use crate::meter::{Outcome, Turn, anonymous_bytes};

/// A few streams first, so that what the server allocates once is not counted.
const FIRST: u32 = 8;

pub(crate) fn run(aim: &Aim, streams: u32, bytes: usize) -> Result<Outcome> {
    let first = Round::open(aim, FIRST, bytes)?;
    settle(aim)?;
    let before = anonymous_bytes(aim.process)?;
    let round = Round::open(aim, streams, bytes)?;
    let mut outcome = settle(aim)?;
    let after = anonymous_bytes(aim.process)?;
    drop((first, round));
    outcome.operations = u64::from(streams);
    outcome.bytes_per_stream = after.saturating_sub(before) as f64 / f64::from(streams);
    Ok(outcome)
}

/// Half a second in which the server may free what it does not need.
fn settle(aim: &Aim) -> Result<Outcome> {
    let quiet = Aim {
        warmup: Duration::ZERO,
        measure: Duration::from_millis(500),
        ..*aim
    };
    let mut window = quiet.window()?;
    let mut poll = super::poll::Poll::new()?;
    loop {
        poll.rest()?;
        if let Turn::Done(outcome) = window.turn(0)? {
            return Ok(outcome);
        }
    }
}
