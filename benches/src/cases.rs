//! The table of what is measured: shape of the load, reference, target. A new case is a new
//! entry here; `load` knows the shapes, `report` the figures.

use anyhow::{Result, bail};
use polyport_load::{Sending, Shape as Load};

use crate::servers::Contender;

/// One load and the figures taken from it.
#[derive(Debug)]
pub(crate) struct Case {
    /// What `--only` and the table call it.
    pub(crate) name: &'static str,
    /// A second name for `--only`, shared by related cases.
    pub(crate) group: &'static str,
    /// One line for the reader of the table.
    pub(crate) title: &'static str,
    /// What the load generator does.
    pub(crate) shape: Shape,
    /// The server whose figure is 1.00.
    pub(crate) reference: Contender,
    /// What is printed, each with its target for polyportd.
    pub(crate) figures: Vec<(Figure, Target)>,
    /// Run without being named.
    pub(crate) by_default: bool,
}

/// What the load generator does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Operations, one after the other. The rate of a paced load is measured first.
    Busy(Load),
    /// Each of `streams` echoes once and then stays silent.
    Idle { streams: u32, bytes: usize },
}

/// What is read from a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time of the server process for one operation.
    Cpu,
    /// The part of it in user mode.
    User,
    /// Growth of the server's anonymous memory for one idle stream.
    Memory,
    /// Median latency.
    Median,
    /// 99th percentile of latency.
    Tail,
}

/// What polyportd is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this ratio to the reference.
    Ratio(f64),
    /// At most this value, in the figure's own unit.
    Value(f64),
    /// Printed only.
    None,
}

/// Every case, in the order of the table. The targets are those that the project set itself.
fn all() -> Vec<Case> {
    let mut cases = tcp_cases();
    cases.extend(udp_cases());
    cases.extend(resting_cases());
    cases
}

fn tcp_cases() -> Vec<Case> {
    let echo = |count, bytes| Shape::Busy(Load::Streams { count, bytes });
    let visit = Shape::Busy(Load::Visits {
        count: 32,
        bytes: 64,
    });
    vec![
        Case::new("tcp1", "64 B, 1 stream", echo(1, 64)).at_most(1.10),
        Case::new("tcp64", "64 B, 64 streams", echo(64, 64)).reading(vec![
            (Figure::Cpu, Target::Ratio(1.04)),
            (Figure::User, Target::Value(0.40)),
        ]),
        Case::new("tcp1000", "64 B, 1000 streams", echo(1000, 64)).at_most(1.04),
        Case::new("tcp10k", "64 B, 10 000 streams", echo(10_000, 64))
            .at_most(1.18)
            .on_request(),
        Case::new("bulk", "16 KiB, 64 streams", echo(64, 16 * 1024)).at_most(1.05),
        Case::new("connect", "connect, 64 B, close", visit).at_most(1.04),
    ]
}

fn udp_cases() -> Vec<Case> {
    let echo = |peers, window, bytes, sending| {
        Shape::Busy(Load::Datagrams {
            peers,
            window,
            bytes,
            sending,
        })
    };
    let one = |bytes| echo(1, 16, bytes, Sending::Single);
    let batch = echo(8, 16, 64, Sending::Batch);
    let segmented = echo(4, 32, 1200, Sending::Segmented);
    vec![
        Case::new("udp64", "64 B, window 16, 1 peer", one(64)).at_most(0.95),
        Case::new("udp1200", "1200 B, window 16, 1 peer", one(1200)).at_most(1.12),
        Case::new("udpbatch", "64 B, sendmmsg of 16, 8 peers", batch).at_most(0.88),
        Case::new("udpgso", "1200 B, GSO of 32, 4 peers", segmented)
            .against(Contender::CGro)
            .at_most(1.20),
    ]
}

/// Cases whose figure is not the cost of an operation.
fn resting_cases() -> Vec<Case> {
    let idle = Shape::Idle {
        streams: 10_000,
        bytes: 64,
    };
    let paced = Shape::Busy(Load::Paced {
        count: 64,
        bytes: 64,
        rate: 0.0,
    });
    vec![
        Case::new("idle", "10 000 idle streams", idle)
            .reading(vec![(Figure::Memory, Target::Value(512.0))]),
        Case::new("latency", "64 B, 64 streams, 70 %", paced)
            .reading(vec![
                (Figure::Median, Target::None),
                (Figure::Tail, Target::Ratio(1.3)),
            ])
            .on_request(),
    ]
}

/// The cases that `only` names, or the default ones.
pub(crate) fn chosen(only: &[String]) -> Result<Vec<Case>> {
    let cases = all();
    for word in only {
        if !cases.iter().any(|case| case.is_called(word)) {
            let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
            bail!(
                "no case is called '{word}'; there are: all, tcp, udp, {}",
                names.join(", ")
            );
        }
    }
    let wanted = |case: &Case| match only {
        [] => case.by_default,
        _ => only.iter().any(|word| case.is_called(word)),
    };
    Ok(cases.into_iter().filter(wanted).collect())
}

/// The case of that name, for the load generator.
pub(crate) fn named(name: &str) -> Result<Case> {
    match all().into_iter().find(|case| case.name == name) {
        Some(case) => Ok(case),
        None => bail!("no case is called '{name}'"),
    }
}

impl Case {
    fn new(name: &'static str, title: &'static str, shape: Shape) -> Self {
        let (group, reference) = match shape {
            Shape::Busy(Load::Datagrams { .. }) => ("udp", Contender::CMmsg),
            Shape::Busy(Load::Streams { bytes: 64, .. }) => ("tcp", Contender::CEpoll),
            _ => (name, Contender::CEpoll),
        };
        let figures = vec![(Figure::Cpu, Target::None)];
        Self {
            name,
            group,
            title,
            shape,
            reference,
            figures,
            by_default: true,
        }
    }

    fn at_most(self, ratio: f64) -> Self {
        self.reading(vec![(Figure::Cpu, Target::Ratio(ratio))])
    }

    fn reading(mut self, figures: Vec<(Figure, Target)>) -> Self {
        self.figures = figures;
        self
    }

    fn against(mut self, reference: Contender) -> Self {
        self.reference = reference;
        self
    }

    fn on_request(mut self) -> Self {
        self.by_default = false;
        self
    }

    /// A group stands for those of its cases that are in the default run.
    fn is_called(&self, word: &str) -> bool {
        word == "all" || word == self.name || (word == self.group && self.by_default)
    }

    /// Datagrams rather than streams.
    pub(crate) fn is_udp(&self) -> bool {
        matches!(self.shape, Shape::Busy(Load::Datagrams { .. }))
    }

    /// Descriptors that the load, and the server, need.
    pub(crate) fn descriptors(&self) -> u64 {
        let sockets = match self.shape {
            Shape::Idle { streams, .. } => streams,
            Shape::Busy(
                Load::Streams { count, .. }
                | Load::Paced { count, .. }
                | Load::Visits { count, .. }
                | Load::Datagrams { peers: count, .. },
            ) => count,
        };
        u64::from(sockets) + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        chosen(&only)
            .unwrap()
            .iter()
            .map(|case| case.name)
            .collect()
    }

    #[test]
    fn a_group_means_its_default_cases() {
        assert_eq!(names(&["tcp"]), ["tcp1", "tcp64", "tcp1000"]);
        assert_eq!(names(&["tcp10k", "idle"]), ["tcp10k", "idle"]);
    }

    #[test]
    fn nothing_named_means_the_default_run() {
        assert!(!names(&[]).contains(&"latency"));
        assert!(names(&["all"]).contains(&"latency"));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let fault = chosen(&["tpc".to_owned()]).unwrap_err().to_string();
        assert!(fault.contains("tcp1000"), "{fault}");
    }
}
