//! What a set of runs has done: a count for each kind of work, kind of object and condition of the object.

use std::fmt;

/// What something with an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Stream,
    Socket,
    Flow,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Stream, Self::Socket, Self::Flow];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Socket => "socket",
            Self::Flow => "flow",
        }
    }
}

/// The condition of an object when something happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Open,
    /// Its instance is paused.
    Paused,
    /// It, its service or the worker drains.
    Draining,
    /// It is being imported; a socket: one of its flows is.
    Staged,
}

impl Condition {
    pub(crate) const ALL: [Self; 4] = [Self::Open, Self::Paused, Self::Draining, Self::Staged];
}

macro_rules! works {
    ($($work:ident $name:literal,)*) => {
        /// A kind of work.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Work { $($work,)* }

        impl Work {
            pub(crate) const ALL: &[Self] = &[$(Self::$work,)*];

            fn name(self) -> &'static str {
                match self { $(Self::$work => $name,)* }
            }
        }
    };
}

works! {
    // the peer
    Data "peer: data",
    Fin "peer: end of its direction",
    Reset "peer: gone",
    Room "peer: reads",
    // the worker's own causes
    Wake "wake",
    Timer "timer",
    Timeout "timeout",
    DialOpened "dial: opened",
    DialFailed "dial: failed",
    // control
    Renew "snapshot: other timeouts",
    Replace "snapshot: another instance, stays",
    Move "snapshot: another instance, moves",
    ExportFails "snapshot: export fails",
    ImportFails "snapshot: import fails",
    Remove "snapshot: service removed",
    Leave "snapshot: instance leaves",
    LeaveUntil "snapshot: instance leaves by a deadline",
    Pause "pause",
    Resume "resume",
    Suspend "standby: suspend",
    Reclaim "standby: resume",
    HandOff "standby: hand off",
    Drain "phase: drain",
    Force "phase: force",
    // the handler
    Write "handler: write",
    Reserve "handler: reserve and commit",
    WriteFin "handler: end of our direction",
    CloseFlush "handler: close, flush",
    CloseNow "handler: close, now",
    CloseReset "handler: close, reset",
    Reads "handler: reads off and on",
    Watermarks "handler: watermarks",
    TimerSet "handler: set a timer",
    TimerCancel "handler: cancel a timer",
    Dial "handler: dial",
    Send "handler: send datagrams",
    Attribute "handler: attribute",
    WakeCall "handler: wake",
    Fault "handler: fails",
}

const CELLS: usize = 12;

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Counts(Vec<[u64; CELLS]>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![[0; CELLS]; Work::ALL.len()])
    }
}

fn cell(kind: Kind, condition: Condition) -> usize {
    kind as usize * Condition::ALL.len() + condition as usize
}

impl Counts {
    pub(crate) fn add(&mut self, work: Work, kind: Kind, condition: Condition) {
        let row = self.0.get_mut(work as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(cell(kind, condition))) {
            *count += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (row, more) in self.0.iter_mut().zip(&other.0) {
            for (count, more) in row.iter_mut().zip(more) {
                *count += more;
            }
        }
    }

    fn of(&self, work: Work, kind: Kind, condition: Condition) -> u64 {
        let row = self.0.get(work as usize);
        row.and_then(|row| row.get(cell(kind, condition)))
            .copied()
            .unwrap_or(0)
    }

    /// The combinations that can exist and have not happened.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for work in Work::ALL.iter().copied() {
            for kind in Kind::ALL {
                for condition in Condition::ALL {
                    if exists(work, kind, condition) && self.of(work, kind, condition) == 0 {
                        missing.push(format!(
                            "{} of a {} {condition:?}",
                            work.name(),
                            kind.name()
                        ));
                    }
                }
            }
        }
        missing
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:40}", "")?;
        for kind in Kind::ALL {
            write!(f, "  {:<39}", kind.name())?;
        }
        write!(f, "\n{:40}", "")?;
        for _ in Kind::ALL {
            write!(
                f,
                "{:>10}{:>10}{:>10}{:>10} ",
                "open", "paused", "draining", "staged"
            )?;
        }
        writeln!(f)?;
        for work in Work::ALL.iter().copied() {
            write!(f, "{:40}", work.name())?;
            for kind in Kind::ALL {
                for condition in Condition::ALL {
                    if exists(work, kind, condition) {
                        write!(f, "{:>10}", self.of(work, kind, condition))?;
                    } else {
                        write!(f, "{:>10}", "-")?;
                    }
                }
                write!(f, " ")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Can this happen at all? Each `false` has its reason here.
fn exists(work: Work, kind: Kind, condition: Condition) -> bool {
    let staged = condition == Condition::Staged;
    match work {
        // Datagrams have no end, no output of their own, and no flow control.
        Work::Fin
        | Work::Write
        | Work::Reserve
        | Work::WriteFin
        | Work::CloseNow
        | Work::CloseReset
        | Work::Reads
        | Work::Watermarks => kind == Kind::Stream,
        // Sockets have no timeouts, and the worker looks at timeouts between two callbacks.
        Work::Timeout => kind != Kind::Socket && !staged,
        // The worker notifies of these between two callbacks, and an import is a callback.
        Work::Timer | Work::DialOpened | Work::DialFailed => !staged,
        // A socket never moves: a new one opens beside it.
        Work::Move | Work::ExportFails | Work::ImportFails => kind != Kind::Socket && !staged,
        // An import that fails is counted as such.
        Work::Fault => !staged,
        _ => true,
    }
}
