//! Which generation of the server's code may answer what. The order of generations is the order
//! in which they were announced, so a rollback to an older number is a step forward.

use crate::options::Rule;

/// The generations that were announced, and how far the swap has come.
#[derive(Debug, Default)]
pub(crate) struct Generations {
    order: Vec<u64>,
    /// The place in `order` of the one that is complete.
    complete: Option<usize>,
}

/// What was complete when something began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Since(Option<usize>);

/// How an answer is judged by the generation that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// By one that may answer.
    Right,
    /// By an older one.
    Stale,
    /// By one that was not announced.
    Future,
    /// By an older one than the one that answered before, in the same flow or stream.
    Regressed,
    /// By another than the one that answered first, in a flow that should stay.
    Moved,
}

/// A message of a flow or stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Its number in the flow or stream.
    pub(crate) number: u64,
    /// What was complete when it was sent.
    pub(crate) since: Since,
}

/// Who has answered in one flow or stream so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Track {
    first: Option<u64>,
    last: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Of the message that was answered.
    number: u64,
    label: u64,
    /// The earliest place in the order at which the flow can be.
    place: usize,
}

impl Generations {
    /// A swap to this generation has begun.
    pub(crate) fn announce(&mut self, label: u64) {
        if self.order.last() != Some(&label) {
            self.order.push(label);
        }
    }

    /// The swap to this generation is complete.
    pub(crate) fn complete(&mut self, label: u64) {
        self.announce(label);
        self.complete = self.order.len().checked_sub(1);
    }

    /// To be kept with whatever begins now.
    pub(crate) fn since(&self) -> Since {
        Since(self.complete)
    }

    /// Judges the answer to something that stands for itself.
    pub(crate) fn judge(&self, since: Since, label: u64) -> Verdict {
        if self.place(since.0.unwrap_or(0), label).is_some() || self.order.is_empty() {
            Verdict::Right
        } else if self.is_future(label) {
            Verdict::Future
        } else if since.0.is_none() {
            // Older than all that was announced: it served before.
            Verdict::Right
        } else {
            Verdict::Stale
        }
    }

    fn is_future(&self, label: u64) -> bool {
        self.order.iter().all(|announced| *announced < label) && !self.order.is_empty()
    }

    /// The first place of the label, from a place on.
    fn place(&self, from: usize, label: u64) -> Option<usize> {
        let later = self.order.get(from..)?;
        Some(from + later.iter().position(|announced| *announced == label)?)
    }
}

impl Track {
    /// Judges the answer to one message of the flow or stream.
    pub(crate) fn judge(
        &mut self,
        generations: &Generations,
        rule: Rule,
        message: Message,
        label: u64,
    ) -> Verdict {
        let Some(first) = self.first else {
            self.first = Some(label);
            let since = message.since.0.unwrap_or(0);
            let place = generations.place(since, label);
            self.last = Some(Seen {
                number: message.number,
                label,
                place: place.or_else(|| generations.place(0, label)).unwrap_or(0),
            });
            return generations.judge(message.since, label);
        };
        match rule {
            Rule::Pinned if label != first => Verdict::Moved,
            Rule::Pinned => Verdict::Right,
            Rule::Exact => generations.judge(message.since, label),
            Rule::Ordered => self.judge_order(generations, message.number, label),
        }
    }

    fn judge_order(&mut self, generations: &Generations, number: u64, label: u64) -> Verdict {
        if generations.is_future(label) {
            return Verdict::Future;
        }
        // An answer that was overtaken by that to a later message may be of older code.
        if self.last.is_some_and(|last| number < last.number) {
            return Verdict::Right;
        }
        if self.advance(generations, number, label) {
            Verdict::Right
        } else {
            Verdict::Regressed
        }
    }

    /// Goes on to this label; false if that would be backwards.
    fn advance(&mut self, generations: &Generations, number: u64, label: u64) -> bool {
        let place = match self.last {
            None => 0,
            Some(last) if last.label == label => last.place,
            Some(last) => match generations.place(last.place, label) {
                Some(place) => place,
                // Never announced: the numbers alone tell.
                None if generations.place(0, label).is_none() && label > last.label => last.place,
                None => return false,
            },
        };
        self.last = Some(Seen {
            number,
            label,
            place,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(labels: &[u64]) -> Generations {
        let mut generations = Generations::default();
        for label in labels {
            generations.complete(*label);
        }
        generations
    }

    #[test]
    fn without_a_control_line_any_generation_is_right() {
        let generations = Generations::default();
        assert_eq!(generations.judge(generations.since(), 9), Verdict::Right);
    }

    #[test]
    fn between_the_two_lines_both_may_answer_and_then_only_the_new() {
        let mut generations = completed(&[1]);
        let before = generations.since();
        assert_eq!(generations.judge(before, 2), Verdict::Future);
        generations.announce(2);
        let during = generations.since();
        for since in [before, during] {
            assert_eq!(generations.judge(since, 1), Verdict::Right);
            assert_eq!(generations.judge(since, 2), Verdict::Right);
            assert_eq!(generations.judge(since, 3), Verdict::Future);
        }
        generations.complete(2);
        let after = generations.since();
        assert_eq!(generations.judge(during, 1), Verdict::Right);
        assert_eq!(generations.judge(after, 1), Verdict::Stale);
        assert_eq!(generations.judge(after, 0), Verdict::Stale);
        assert_eq!(generations.judge(after, 2), Verdict::Right);
    }

    #[test]
    fn what_served_before_the_first_announcement_may_go_on() {
        let mut generations = Generations::default();
        generations.announce(5);
        assert_eq!(generations.judge(generations.since(), 4), Verdict::Right);
        assert_eq!(generations.judge(generations.since(), 6), Verdict::Future);
    }

    #[test]
    fn a_rollback_is_a_step_forward() {
        let mut generations = completed(&[6, 7]);
        let mut track = Track::default();
        let mut judge = |generations: &Generations, number, label| {
            let message = Message {
                number,
                since: generations.since(),
            };
            track.judge(generations, Rule::Ordered, message, label)
        };
        assert_eq!(judge(&generations, 0, 7), Verdict::Right);
        assert_eq!(judge(&generations, 1, 6), Verdict::Regressed);
        generations.announce(6);
        assert_eq!(judge(&generations, 2, 7), Verdict::Right);
        assert_eq!(judge(&generations, 3, 6), Verdict::Right);
        assert_eq!(judge(&generations, 4, 7), Verdict::Regressed);
        generations.complete(6);
        assert_eq!(generations.judge(generations.since(), 7), Verdict::Stale);
    }

    #[test]
    fn a_flow_may_stay_or_go_on_but_not_back() {
        let generations = completed(&[1, 2, 3]);
        let message = |number| Message {
            number,
            since: Since(Some(0)),
        };
        let run = |rule, labels: &[(u64, u64)]| {
            let mut track = Track::default();
            let verdicts = labels
                .iter()
                .map(|(number, label)| track.judge(&generations, rule, message(*number), *label));
            verdicts.collect::<Vec<_>>()
        };
        use Verdict::{Future, Moved, Regressed, Right};
        assert_eq!(
            run(Rule::Ordered, &[(0, 1), (1, 1), (2, 3), (3, 1), (4, 3)]),
            [Right, Right, Right, Regressed, Right]
        );
        // The answer to 1 was overtaken.
        assert_eq!(
            run(Rule::Ordered, &[(0, 1), (2, 3), (1, 1), (3, 4)]),
            [Right, Right, Right, Future]
        );
        assert_eq!(
            run(Rule::Pinned, &[(0, 1), (1, 2), (2, 1)]),
            [Right, Moved, Right]
        );
    }
}
