//! What is asked of the desk and waits: a bounded queue in which reloads become one.

use std::collections::VecDeque;

use polyport_api::{Drained, Outcome};
use tokio::sync::oneshot;

use crate::control::admin::Answer;
use crate::control::target::Target;
use crate::control::wish::Wish;

/// Most wishes that wait.
pub(super) const QUEUE_MAX: usize = 64;

/// A wish and who waits for it.
#[derive(Debug)]
pub(super) struct Asked {
    /// Taken when it is begun.
    pub(super) wish: Option<Wish>,
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
    pub(super) back: Option<Target>,
    /// The daemon itself wants it, or a signal asked for it.
    of_daemon: bool,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Asked {
    /// Nobody waits for it yet.
    pub(super) fn new(wish: Wish, by: impl Into<String>) -> Self {
        let drains = match &wish {
            Wish::Drain { name } => Some(name.clone()),
            _ => None,
        };
        let withdraws = match &wish {
            Wish::Rollback { why, .. } => Some(why.clone()),
            _ => None,
        };
        Self {
            what: wish.name(),
            wish: Some(wish),
            by: by.into(),
            drained_before: None,
            back: None,
            of_daemon: true,
            drains,
            withdraws,
            answers: Vec::new(),
        }
    }

    /// An operator wants it.
    pub(super) fn by_hand(mut self) -> Self {
        self.of_daemon = false;
        self
    }

    /// Is it an operator's?
    pub(super) fn is_by_hand(&self) -> bool {
        !self.of_daemon
    }

    /// An operator wants it, and waits.
    pub(super) fn for_whom(mut self, answer: oneshot::Sender<Answer>) -> Self {
        self.answers.push(answer);
        self.by_hand()
    }

    /// Tells all who wait; who went away is not missed.
    pub(super) fn answer(self, outcome: Outcome) {
        for waiting in self.answers {
            let answer = match &self.drains {
                Some(_) => Answer::Drained(Box::new(Drained {
                    outcome: outcome.clone(),
                    streams: 0,
                })),
                None => Answer::Outcome(Box::new(outcome.clone())),
            };
            drop(waiting.send(answer));
        }
    }

    /// Does one of these do for both?
    fn is_as(&self, other: &Self) -> bool {
        matches!(
            (&self.wish, &other.wish),
            (
                Some(Wish::Reload { confirm: None }),
                Some(Wish::Reload { confirm: None })
            ) | (Some(Wish::HandOver), Some(Wish::HandOver))
        )
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Asked>,
}

impl Queue {
    /// Puts one in; gives it back when too many wait. A reload or hand-over that waits already does for a second one too:
    /// it has not read anything yet. What the daemon itself wants is always taken: there is little of it.
    pub(super) fn put(&mut self, mut asked: Asked) -> Result<(), Box<Asked>> {
        if let Some(present) = self.waiting.iter_mut().find(|one| one.is_as(&asked)) {
            present.answers.append(&mut asked.answers);
            if !present.by.contains(&asked.by) && present.by.len() < 256 {
                present.by = format!("{}, {}", present.by, asked.by);
            }
            return Ok(());
        }
        if self.waiting.len() >= QUEUE_MAX && !asked.of_daemon {
            return Err(Box::new(asked));
        }
        self.waiting.push_back(asked);
        Ok(())
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<Asked> {
        self.waiting.pop_front()
    }

    /// Takes out all that waits.
    pub(super) fn take_all(&mut self) -> Vec<Asked> {
        self.waiting.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::desk::refused;

    #[test]
    fn reloads_that_wait_become_one_and_all_are_told() {
        let mut queue = Queue::default();
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        queue
            .put(Asked::new(Wish::Reload { confirm: None }, "SIGHUP"))
            .unwrap();
        queue
            .put(Asked::new(Wish::Reload { confirm: None }, "uid 0").for_whom(one))
            .unwrap();
        queue
            .put(Asked::new(Wish::Reload { confirm: None }, "uid 0").for_whom(two))
            .unwrap();
        let asked = queue.take().unwrap();
        assert_eq!(asked.by, "SIGHUP, uid 0");
        assert!(queue.take().is_none());
        asked.answer(refused("test".to_owned()));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    }

    #[test]
    fn a_full_queue_takes_what_the_daemon_wants_and_nothing_else() {
        let mut queue = Queue::default();
        for _ in 0..QUEUE_MAX {
            queue
                .put(Asked::new(Wish::Plan, "uid 0").by_hand())
                .unwrap();
        }
        assert!(
            queue
                .put(Asked::new(Wish::Plan, "uid 0").by_hand())
                .is_err()
        );
        let hang_up = Asked::new(Wish::Reload { confirm: None }, "SIGHUP");
        assert!(queue.put(hang_up).is_ok());
    }
}
