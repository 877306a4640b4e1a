//! What is asked of the desk and waits: a bounded queue in which reloads become one.

use std::collections::VecDeque;

use polyport_api::{Drained, Outcome};
use tokio::sync::oneshot;

use super::refused;
use crate::control::admin::Answer;
use crate::control::wish::Wish;

/// Most wishes that wait.
const QUEUE_MAX: usize = 64;

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
            drains,
            withdraws,
            answers: Vec::new(),
        }
    }

    /// One more who waits for it.
    pub(super) fn for_whom(mut self, answer: oneshot::Sender<Answer>) -> Self {
        self.answers.push(answer);
        self
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

    fn is_plain_reload(&self) -> bool {
        matches!(self.wish, Some(Wish::Reload { confirm: None }))
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Asked>,
}

impl Queue {
    /// Puts one in. A reload that waits already does for a second one too: it has not read anything yet.
    pub(super) fn put(&mut self, mut asked: Asked) {
        if asked.is_plain_reload()
            && let Some(present) = self.waiting.iter_mut().find(|one| one.is_plain_reload())
        {
            present.answers.append(&mut asked.answers);
            if !present.by.contains(&asked.by) && present.by.len() < 256 {
                present.by = format!("{}, {}", present.by, asked.by);
            }
            return;
        }
        if self.waiting.len() >= QUEUE_MAX {
            asked.answer(refused(format!(
                "{QUEUE_MAX} changes wait already; ask again later"
            )));
            return;
        }
        self.waiting.push_back(asked);
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<Asked> {
        self.waiting.pop_front()
    }

    /// Refuses all that waits.
    pub(super) fn refuse_all(&mut self, reason: &str) {
        for asked in self.waiting.drain(..) {
            tracing::warn!(asked_by = asked.by, reason, "{} refused", asked.what);
            asked.answer(refused(reason.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_that_wait_become_one_and_all_are_told() {
        let mut queue = Queue::default();
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        queue.put(Asked::new(Wish::Reload { confirm: None }, "SIGHUP"));
        queue.put(Asked::new(Wish::Reload { confirm: None }, "uid 0").for_whom(one));
        queue.put(Asked::new(Wish::Reload { confirm: None }, "uid 0").for_whom(two));
        let asked = queue.take().unwrap();
        assert_eq!(asked.by, "SIGHUP, uid 0");
        assert!(queue.take().is_none());
        asked.answer(refused("test".to_owned()));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    }

    #[test]
    fn a_full_queue_refuses_and_says_so() {
        let mut queue = Queue::default();
        for _ in 0..QUEUE_MAX {
            queue.put(Asked::new(Wish::Plan, "uid 0"));
        }
        let (waits, mut told) = oneshot::channel();
        queue.put(Asked::new(Wish::Plan, "uid 0").for_whom(waits));
        assert!(
            matches!(told.try_recv(), Ok(Answer::Outcome(outcome)) if outcome.reason.contains("later"))
        );
    }
}
