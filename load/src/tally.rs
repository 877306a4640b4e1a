//! What is counted. Every attempt ends in exactly one of the numbers of its kind, and counts in
//! the phase in which it began.

use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;

/// Numbers with names, that can be added and of which some are faults.
macro_rules! counts {
    ($(#[$doc:meta])* $name:ident, harmless: $harmless:expr, { $($(#[$about:meta])* $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $name { $($(#[$about])* pub $field: u64,)+ }

        impl $name {
            /// All numbers with their names.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)+]
            }

            /// The numbers that count faults.
            pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let harmless: &[&str] = &$harmless;
                self.named().into_iter().filter(|(name, _)| !harmless.contains(name))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counts! {
    /// Clients that connect, send, receive and close. `begun` is the sum of all others.
    Connects, harmless: ["begun", "ok"], {
        /// Attempts.
        begun,
        /// The right answer came, from the right generation.
        ok,
        /// Nothing listened.
        refused,
        /// The connection was reset before the answer.
        reset,
        /// No connection, or no answer, in time.
        timed_out,
        /// The server closed before the answer was complete.
        broken,
        /// Something else came back.
        wrong,
        /// Answered by an older generation.
        stale,
        /// Answered by a generation that was not announced.
        future,
        /// This machine had no port, descriptor or permission for it.
        failed_here,
    }
}

counts! {
    /// Long-lived streams. `begun` is the sum of all others.
    Streams, harmless: ["begun", "alive"], {
        /// Attempts to open one; a broken stream is opened anew.
        begun,
        /// Still open at the end of the run.
        alive,
        /// Ended by the server; counts in the phase in which that happened.
        broken,
        /// Nothing listened.
        refused,
        /// No connection in time.
        timed_out,
        /// This machine had no port, descriptor or permission for it.
        failed_here,
    }
}

counts! {
    /// Pings on long-lived streams. `sent` is the sum of the others, without `surplus`.
    Pings, harmless: ["sent", "answered"], {
        /// Pings given to a stream.
        sent,
        /// The right answer came, from the right generation.
        answered,
        /// No answer in time, or the stream broke before it.
        unanswered,
        /// Something else came back.
        wrong,
        /// Answered by an older generation.
        stale,
        /// Answered by a generation that was not announced.
        future,
        /// Answered by an older generation than the ping before.
        regressed,
        /// Answered by another generation than the first ping.
        moved,
        /// Lines that answer nothing that waits: a second answer, or one that came too late.
        surplus,
    }
}

counts! {
    /// Datagrams. `sent` is the sum of the others down to `moved`.
    Datagrams, harmless: ["sent", "answered", "lost_here", "late", "skipped"], {
        /// Datagrams given to the kernel.
        sent,
        /// The right answer came, from the right generation.
        answered,
        /// No answer in time.
        lost,
        /// The answer was dropped by this side's own socket, as its buffer was full.
        lost_here,
        /// An ICMP message reported a port without a listener.
        refused,
        /// Something else came back.
        wrong,
        /// Answered by an older generation.
        stale,
        /// Answered by a generation that was not announced.
        future,
        /// Answered by an older generation than a datagram before, in the same flow.
        regressed,
        /// Answered by another generation than the first datagram of its flow.
        moved,
        /// Further answers to datagrams that had been answered.
        duplicated,
        /// Answers to datagrams that had been given up: these count as lost.
        late,
        /// Datagrams that answer nothing that was sent.
        stray,
        /// The kernel of this machine did not take it, or had no socket.
        failed_here,
        /// Not sent, because this tool was late.
        skipped,
    }
}

/// The longest that a right answer took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slowest {
    /// From the begin of a connection to its answer.
    pub connect_us: u64,
    /// A ping.
    pub ping_us: u64,
    /// A datagram.
    pub datagram_us: u64,
}

/// All that is counted of a phase or a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Clients that connect, send, receive and close.
    pub connects: Connects,
    /// Long-lived streams.
    pub streams: Streams,
    /// Their pings.
    pub pings: Pings,
    /// Datagrams.
    pub datagrams: Datagrams,
    /// The longest waits.
    pub slowest: Slowest,
}

impl Tally {
    /// What is wrong, a line for each number that is not 0. Lost datagrams are left out as far as
    /// they are allowed.
    #[must_use]
    pub fn faults(&self, allowed_lost: u64) -> Vec<String> {
        let mut datagrams = self.datagrams;
        if datagrams.lost <= allowed_lost {
            datagrams.lost = 0;
        }
        let kinds = [
            ("connects", self.connects.faults().collect::<Vec<_>>()),
            ("streams", self.streams.faults().collect()),
            ("pings", self.pings.faults().collect()),
            ("datagrams", datagrams.faults().collect()),
        ];
        let mut lines = Vec::new();
        for (kind, faults) in kinds {
            let some = faults.into_iter().filter(|(_, count)| *count > 0);
            lines.extend(some.map(|(name, count)| format!("{count} {kind} {}", worded(name))));
        }
        lines
    }
}

/// A number's name in words.
pub(crate) fn worded(name: &str) -> String {
    name.replace('_', " ")
}

/// A time as the reports have it.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl AddAssign for Slowest {
    fn add_assign(&mut self, other: Self) {
        self.connect_us = self.connect_us.max(other.connect_us);
        self.ping_us = self.ping_us.max(other.ping_us);
        self.datagram_us = self.datagram_us.max(other.datagram_us);
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connects += other.connects;
        self.streams += other.streams;
        self.pings += other.pings;
        self.datagrams += other.datagrams;
        self.slowest += other.slowest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_datagrams_are_excused_up_to_the_number_allowed() {
        let mut tally = Tally::default();
        tally.datagrams.lost = 3;
        tally.datagrams.lost_here = 5;
        assert_eq!(tally.faults(3), Vec::<String>::new());
        assert_eq!(tally.faults(2), ["3 datagrams lost"]);
    }

    #[test]
    fn every_fault_is_named() {
        let mut tally = Tally::default();
        tally.connects.failed_here = 1;
        tally.streams.broken = 2;
        tally.pings.regressed = 3;
        tally.datagrams.duplicated = 4;
        let lines = [
            "1 connects failed here",
            "2 streams broken",
            "3 pings regressed",
            "4 datagrams duplicated",
        ];
        assert_eq!(tally.faults(0), lines);
    }
}
