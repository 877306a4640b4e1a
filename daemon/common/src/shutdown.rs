//! Shutdown: one [`Signal`], held by control, and [`Phases`] for each receiver.
//!
//! Phases go out on one broadcast channel. Whatever has something to end holds a token; control waits until all tokens
//! are dropped.

use std::time::Instant;

use tokio::sync::broadcast;

use super::wait_group::{Token, WaitGroup, wait_group};

/// The phase of the shutdown. Phases only ever follow in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Stop accepting, notify the streams, let work in flight end until the deadline.
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
    /// Its tokens are held by whatever has something to end.
    present: WaitGroup,
}

/// The receiving side.
#[derive(Debug)]
pub struct Phases(broadcast::Receiver<Phase>);

impl Signal {
    /// Nothing announced yet.
    #[must_use]
    pub fn new() -> Self {
        // Two phases exist, so four places are never overrun.
        Self {
            phase: broadcast::Sender::new(4),
            present: wait_group(),
        }
    }

    /// One more receiver of the phases that are announced from now on.
    #[must_use]
    pub fn subscribe(&self) -> Phases {
        Phases(self.phase.subscribe())
    }

    /// To be held as long as there is something to end; dropping it is the acknowledgement.
    pub fn token(&self) -> Token {
        self.present.token()
    }

    /// Sends a phase to all receivers; none is fine.
    pub fn announce(&self, phase: Phase) {
        drop(self.phase.send(phase));
    }

    /// Waits until every token was dropped.
    pub async fn all_gone(&self) {
        self.present.wait().await;
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl Phases {
    /// The next phase. When the signal itself is gone, [`Phase::Force`].
    pub async fn next(&mut self) -> Phase {
        loop {
            match self.0.recv().await {
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
    async fn every_receiver_gets_every_phase_and_every_token_is_waited_for() {
        let signal = Signal::new();
        let (mut one, mut two) = (signal.subscribe(), signal.subscribe());
        let (first, second) = (signal.token(), signal.token());
        let deadline = Instant::now();
        signal.announce(Phase::Drain { deadline });
        signal.announce(Phase::Force);
        for phases in [&mut one, &mut two] {
            assert_eq!(phases.next().await, Phase::Drain { deadline });
            assert_eq!(phases.next().await, Phase::Force);
        }
        drop(first);
        let gone = signal.all_gone();
        tokio::pin!(gone);
        let early = std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        drop(second);
        gone.await;
    }

    #[tokio::test]
    async fn a_lost_signal_means_force() {
        let mut phases = Signal::new().subscribe();
        assert_eq!(phases.next().await, Phase::Force);
    }
}
