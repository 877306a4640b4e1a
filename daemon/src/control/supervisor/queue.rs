//! What is asked of the desk and waits: a bounded queue in which reloads become one.

use std::collections::VecDeque;

use polyport_api::{Drained, Outcome};
use tokio::sync::oneshot;

use crate::control::admin::Answer;
use crate::control::desired::DesiredState;
use crate::control::operation::Operation;

/// Most wishes that wait.
pub(super) const QUEUE_MAX: usize = 64;

/// A wish and who waits for it.
#[derive(Debug)]
pub(super) struct QueuedOperation {
    /// Taken when it is begun.
    pub(super) operation: Option<Operation>,
    /// The wish in one word.
    pub(super) what: &'static str,
    /// Who asked: `SIGHUP`, `uid 0`.
    pub(super) by: String,
    /// What is out of service when it is done.
    pub(super) drains: Option<String>,
    /// Why code is withdrawn by it.
    pub(super) withdraws: Option<String>,
    /// What was out of service in the world that it goes back to, and that world, should it have to be tried again.
    pub(super) drained_before: Option<Vec<String>>,
    pub(super) back: Option<DesiredState>,
    /// The daemon itself wants it, or a signal asked for it.
    by_daemon: bool,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl QueuedOperation {
    /// Nobody waits for it yet.
    pub(super) fn new(operation: Operation, by: impl Into<String>) -> Self {
        let drains = match &operation {
            Operation::Drain { name } => Some(name.clone()),
            _ => None,
        };
        let withdraws = match &operation {
            Operation::Rollback { why, .. } => Some(why.clone()),
            _ => None,
        };
        Self {
            what: operation.name(),
            operation: Some(operation),
            by: by.into(),
            drained_before: None,
            back: None,
            by_daemon: true,
            drains,
            withdraws,
            answers: Vec::new(),
        }
    }

    /// An operator wants it.
    pub(super) fn by_operator(mut self) -> Self {
        self.by_daemon = false;
        self
    }

    /// Is it an operator's?
    pub(super) fn is_by_operator(&self) -> bool {
        !self.by_daemon
    }

    /// An operator wants it, and waits.
    pub(super) fn with_reply(mut self, answer: oneshot::Sender<Answer>) -> Self {
        self.answers.push(answer);
        self.by_operator()
    }

    /// Tells all who wait; who went away is not missed.
    pub(super) fn answer(self, outcome: Outcome) {
        for waiters in self.answers {
            let answer = match &self.drains {
                Some(_) => Answer::Drained(Box::new(Drained {
                    outcome: outcome.clone(),
                    streams: 0,
                })),
                None => Answer::Outcome(Box::new(outcome.clone())),
            };
            drop(waiters.send(answer));
        }
    }

    /// Does one of these do for both?
    fn is_same_as(&self, other: &Self) -> bool {
        matches!(
            (&self.operation, &other.operation),
            (
                Some(Operation::Reload { confirm: None }),
                Some(Operation::Reload { confirm: None })
            ) | (Some(Operation::HandOver), Some(Operation::HandOver))
        )
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: VecDeque<QueuedOperation>,
}

impl Queue {
    /// Puts one in; gives it back when too many wait. A reload or hand-over that waits already does for a second one too:
    /// it has not read anything yet. What the daemon itself wants is always taken: there is little of it.
    pub(super) fn push(&mut self, mut queued: QueuedOperation) -> Result<(), Box<QueuedOperation>> {
        if let Some(present) = self.waiters.iter_mut().find(|one| one.is_same_as(&queued)) {
            present.answers.append(&mut queued.answers);
            if !present.by.contains(&queued.by) && present.by.len() < 256 {
                present.by = format!("{}, {}", present.by, queued.by);
            }
            return Ok(());
        }
        if self.waiters.len() >= QUEUE_MAX && !queued.by_daemon {
            return Err(Box::new(queued));
        }
        self.waiters.push_back(queued);
        Ok(())
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<QueuedOperation> {
        self.waiters.pop_front()
    }

    /// Takes out all that waits.
    pub(super) fn take_all(&mut self) -> Vec<QueuedOperation> {
        self.waiters.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::supervisor::refused;

    #[test]
    fn reloads_that_wait_become_one_and_all_are_told() {
        let mut queue = Queue::default();
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        queue
            .push(QueuedOperation::new(
                Operation::Reload { confirm: None },
                "SIGHUP",
            ))
            .unwrap();
        queue
            .push(
                QueuedOperation::new(Operation::Reload { confirm: None }, "uid 0").with_reply(one),
            )
            .unwrap();
        queue
            .push(
                QueuedOperation::new(Operation::Reload { confirm: None }, "uid 0").with_reply(two),
            )
            .unwrap();
        let queued = queue.take().unwrap();
        assert_eq!(queued.by, "SIGHUP, uid 0");
        assert!(queue.take().is_none());
        queued.answer(refused("test".to_owned()));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    }

    #[test]
    fn a_full_queue_takes_what_the_daemon_wants_and_nothing_else() {
        let mut queue = Queue::default();
        for _ in 0..QUEUE_MAX {
            queue
                .push(QueuedOperation::new(Operation::Plan, "uid 0").by_operator())
                .unwrap();
        }
        assert!(
            queue
                .push(QueuedOperation::new(Operation::Plan, "uid 0").by_operator())
                .is_err()
        );
        let hang_up = QueuedOperation::new(Operation::Reload { confirm: None }, "SIGHUP");
        assert!(queue.push(hang_up).is_ok());
    }
}
