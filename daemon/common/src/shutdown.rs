//! Shutdown as a pair of types: one [`Signal`], held by control, and a [`Watch`] for each who must hear it.
//!
//! The phase goes out on one broadcast channel. Dropping a watch is the acknowledgement: control waits until all
//! watches are gone, and nobody sleeps.

use std::time::Instant;

use tokio::sync::broadcast;

use super::wait_group::{Token, WaitGroup, wait_group};

/// How far the shutdown has come. It only ever goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Stop accepting, tell the streams, let work in flight end until the deadline.
    Drain {
        /// When the grace period ends.
        deadline: Instant,
    },
    /// End everything that is left, now.
    Force,
}

/// The announcing side; one in the process.
#[derive(Debug)]
pub struct Signal {
    phase: broadcast::Sender<Phase>,
    /// Its passes are the watches.
    present: WaitGroup,
}

/// The hearing side. Keep it for as long as there is something to end.
#[derive(Debug)]
pub struct Watch {
    phase: broadcast::Receiver<Phase>,
    _present: Token,
}

impl Signal {
    /// Nothing announced yet, nobody watching.
    #[must_use]
    pub fn new() -> Self {
        // Two phases exist, so four places are never overrun.
        Self {
            phase: broadcast::Sender::new(4),
            present: wait_group(),
        }
    }

    /// One more that hears and is waited for.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            phase: self.phase.subscribe(),
            _present: self.present.token(),
        }
    }

    /// Tells all watches; having none is fine.
    pub fn announce(&self, phase: Phase) {
        drop(self.phase.send(phase));
    }

    /// Waits until every watch was dropped.
    pub async fn all_gone(&self) {
        self.present.wait().await;
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// The next phase. If the signal itself is gone there is nothing to wait for: that counts as [`Phase::Force`].
    pub async fn next(&mut self) -> Phase {
        loop {
            match self.phase.recv().await {
                Ok(phase) => return phase,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Phase::Force,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_watch_hears_every_phase_and_is_waited_for() {
        let signal = Signal::new();
        let (mut one, mut two) = (signal.watch(), signal.watch());
        let deadline = Instant::now();
        signal.announce(Phase::Drain { deadline });
        signal.announce(Phase::Force);
        for watch in [&mut one, &mut two] {
            assert_eq!(watch.next().await, Phase::Drain { deadline });
            assert_eq!(watch.next().await, Phase::Force);
        }
        drop(one);
        let gone = signal.all_gone();
        tokio::pin!(gone);
        let early = std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        drop(two);
        gone.await;
    }

    #[tokio::test]
    async fn a_lost_signal_means_force() {
        let mut watch = Signal::new().watch();
        assert_eq!(watch.next().await, Phase::Force);
    }
}
