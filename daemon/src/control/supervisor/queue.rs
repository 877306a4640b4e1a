//! The queue of operations: bounded, and reloads in it are merged.

use std::collections::VecDeque;

use polyport_api::{Drained, Outcome};
use tokio::sync::oneshot;

use crate::control::admin::Answer;
use crate::control::desired::DesiredState;
use crate::control::operation::Operation;

/// Bound of the queue.
pub(super) const QUEUE_MAX: usize = 64;
/// Requesters of merged reloads are listed up to this length.
const REQUESTERS_BYTES_MAX: usize = 256;

/// An operation and who requested it.
#[derive(Debug)]
pub(super) struct QueuedOperation {
    /// Taken when it begins.
    pub(super) operation: Option<Operation>,
    /// The operation in one word.
    pub(super) what: &'static str,
    /// The requester: `SIGHUP`, `uid 0`.
    pub(super) by: String,
    /// What is out of service afterwards.
    pub(super) drains: Option<String>,
    /// Why it withdraws code.
    pub(super) withdraws: Option<String>,
    /// Of a return: what was out of service in the state that it returns to.
    pub(super) drained_before: Option<Vec<String>>,
    /// Of a return: a copy of that state, in case it has to be tried again.
    pub(super) previous: Option<DesiredState>,
    /// Requested by the daemon itself or by a signal.
    by_daemon: bool,
    replies: Vec<oneshot::Sender<Answer>>,
}

impl QueuedOperation {
    /// An operation of the daemon itself, or of a signal.
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
            previous: None,
            by_daemon: true,
            drains,
            withdraws,
            replies: Vec::new(),
        }
    }

    /// Marks it as requested by an operator.
    pub(super) fn by_operator(mut self) -> Self {
        self.by_daemon = false;
        self
    }

    /// Returns whether an operator requested it.
    pub(super) fn is_by_operator(&self) -> bool {
        !self.by_daemon
    }

    /// Marks it as requested by an operator who gets the outcome.
    pub(super) fn with_reply(mut self, reply: oneshot::Sender<Answer>) -> Self {
        self.replies.push(reply);
        self.by_operator()
    }

    /// Sends the outcome to all requesters that still wait.
    pub(super) fn answer(self, outcome: Outcome) {
        for reply in self.replies {
            let answer = match &self.drains {
                Some(_) => Answer::Drained(Box::new(Drained {
                    outcome: outcome.clone(),
                    streams: 0,
                })),
                None => Answer::Outcome(Box::new(outcome.clone())),
            };
            drop(reply.send(answer));
        }
    }

    /// Returns whether executing one of both is enough.
    fn merges_with(&self, other: &Self) -> bool {
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
    queued: VecDeque<QueuedOperation>,
}

impl Queue {
    /// Adds an operation; returns it when the queue is full. A second reload or hand-over is merged with a queued one,
    /// which has read nothing yet. Operations of the daemon itself ignore the bound: there are few.
    pub(super) fn push(&mut self, mut new: QueuedOperation) -> Result<(), Box<QueuedOperation>> {
        if let Some(present) = self.queued.iter_mut().find(|one| one.merges_with(&new)) {
            present.replies.append(&mut new.replies);
            if !present.by.contains(&new.by) && present.by.len() < REQUESTERS_BYTES_MAX {
                present.by = format!("{}, {}", present.by, new.by);
            }
            return Ok(());
        }
        if self.queued.len() >= QUEUE_MAX && !new.by_daemon {
            return Err(Box::new(new));
        }
        self.queued.push_back(new);
        Ok(())
    }

    /// Takes the next operation.
    pub(super) fn take(&mut self) -> Option<QueuedOperation> {
        self.queued.pop_front()
    }

    /// Takes all operations.
    pub(super) fn take_all(&mut self) -> Vec<QueuedOperation> {
        self.queued.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::operation::outcome;
    use polyport_api::Verdict;

    fn reload(by: &str) -> QueuedOperation {
        QueuedOperation::new(Operation::Reload { confirm: None }, by)
    }

    #[test]
    fn queue_merges_reloads_and_answers_all_requesters() {
        let mut queue = Queue::default();
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        queue.push(reload("SIGHUP")).unwrap();
        queue.push(reload("uid 0").with_reply(one)).unwrap();
        queue.push(reload("uid 0").with_reply(two)).unwrap();
        let queued = queue.take().unwrap();
        assert_eq!(queued.by, "SIGHUP, uid 0");
        assert!(queue.take().is_none());
        queued.answer(outcome(Verdict::Refused, "test".to_owned()));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    }

    #[test]
    fn queue_that_is_full_takes_operations_of_the_daemon_only() {
        let plan = || QueuedOperation::new(Operation::Plan, "uid 0").by_operator();
        let mut queue = Queue::default();
        for _ in 0..QUEUE_MAX {
            queue.push(plan()).unwrap();
        }
        assert!(queue.push(plan()).is_err());
        assert!(queue.push(reload("SIGHUP")).is_ok());
    }
}
