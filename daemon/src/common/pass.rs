//! A gate and its passes: whoever holds a pass is still at it, and who has the gate can wait for the last one.

use tokio::sync::watch;

/// Gives out passes and waits until all are back.
#[derive(Debug)]
pub struct Gate(watch::Sender<()>);

/// Held for as long as something is used or unfinished; dropping it says that this is over.
#[derive(Debug, Clone)]
pub struct Pass(#[expect(dead_code, reason = "it counts by being there")] watch::Receiver<()>);

impl Gate {
    /// No pass is out.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// One more pass.
    #[must_use]
    pub fn pass(&self) -> Pass {
        Pass(self.0.subscribe())
    }

    /// Waits until every pass was dropped; at once, when none is out.
    pub async fn all_back(&self) {
        self.0.closed().await;
    }

    /// Is a pass out?
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.0.is_closed()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_waits_for_copies_too_and_can_be_used_again() {
        let gate = Gate::new();
        gate.all_back().await;
        for _ in 0..2 {
            let pass = gate.pass();
            let copy = pass.clone();
            drop(pass);
            assert!(gate.is_held());
            let back = gate.all_back();
            tokio::pin!(back);
            let early =
                std::future::poll_fn(|cx| std::task::Poll::Ready(back.as_mut().poll(cx))).await;
            assert!(early.is_pending());
            drop(copy);
            back.await;
            assert!(!gate.is_held());
        }
    }
}
