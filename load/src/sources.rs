//! All sources of datagrams: their common rate, and their replacement.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::drops::Drops;
use crate::field::Field;
use crate::options::{Options, Rule};
use crate::poll::Who;
use crate::source::Source;

/// How often losses are looked for.
const SWEEP: Duration = Duration::from_millis(50);
/// A replaced source listens for so much longer, to count surplus answers.
const LINGER: Duration = Duration::from_secs(1);
/// Datagrams that are overdue are not sent all at once: that would be a flood.
const BURST: Duration = Duration::from_millis(20);
/// Half of the kernel's default range, so that a free port is found soon.
const PORTS_REMEMBERED: usize = 14_000;
/// Where the kernel has few ports, one is used again.
const PORT_TRIES: u32 = 32;

/// The sources and their rate.
#[derive(Debug)]
pub(crate) struct Sources {
    servers: Vec<SocketAddr>,
    buffer_bytes: usize,
    life: Option<Duration>,
    rule: Rule,
    rate: u32,
    /// By their number, from the first flow on.
    sources: BTreeMap<u32, Lease>,
    /// The numbers of those that send.
    sending: Vec<u32>,
    opened: u32,
    used_ports: HashSet<u16>,
    /// Datagrams that were due so far.
    issued: u64,
    swept_at: Instant,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Lease {
    source: Source,
    /// When it is replaced; then, when it was.
    ends: Option<Instant>,
}

impl Sources {
    /// # Errors
    /// This machine has no sockets for them.
    pub(crate) fn new(options: &Options, field: &Field) -> std::io::Result<Self> {
        let mut sources = Self {
            servers: options.udp.clone(),
            buffer_bytes: options.receive_buffer,
            life: options.flow_life,
            rule: options.flows,
            rate: options.rate,
            sources: BTreeMap::new(),
            sending: Vec::new(),
            opened: 0,
            used_ports: HashSet::new(),
            issued: 0,
            swept_at: field.now,
            buffer: vec![0; 64 * 1024],
        };
        let count = if sources.servers.is_empty() {
            0
        } else {
            options.sources
        };
        for slot in 0..count {
            // Not all at once.
            let ends = sources
                .life
                .map(|life| field.now + life + life * slot / count);
            let flow = sources.open(field, ends)?;
            sources.sending.push(flow);
        }
        Ok(sources)
    }

    fn open(&mut self, field: &Field, ends: Option<Instant>) -> std::io::Result<u32> {
        let flow = self.opened;
        let turn = flow as usize % self.servers.len().max(1);
        let server = self.servers.get(turn).copied();
        let server = server.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let source = self.open_fresh(flow, server)?;
        field.poll.watch(source.socket(), Who::Source(flow))?;
        self.opened = self.opened.wrapping_add(1);
        self.sources.insert(flow, Lease { source, ends });
        Ok(flow)
    }

    /// A source on a port that none had before: to the server it would be the old flow going on.
    fn open_fresh(&mut self, flow: u32, server: SocketAddr) -> std::io::Result<Source> {
        if self.used_ports.len() >= PORTS_REMEMBERED {
            self.used_ports.clear();
        }
        let mut source = Source::open(u64::from(flow), server, self.buffer_bytes)?;
        for _ in 0..PORT_TRIES {
            if self.used_ports.insert(source.socket().local_addr()?.port()) {
                break;
            }
            source = Source::open(u64::from(flow), server, self.buffer_bytes)?;
        }
        Ok(source)
    }

    /// No datagram is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.sources.values().all(|lease| lease.source.is_quiet())
    }

    /// Forgets which have been answered.
    pub(crate) fn forget_answers(&mut self) {
        for lease in self.sources.values_mut() {
            lease.source.forget_answers();
        }
    }

    /// Sources that send and were not answered since.
    pub(crate) fn unanswered(&self) -> usize {
        let sending = self
            .sending
            .iter()
            .filter_map(|flow| self.sources.get(flow));
        let unanswered = sending.filter(|lease| !lease.source.has_answer());
        unanswered.count()
    }

    /// The receive buffer that the kernel granted, as it counts it.
    pub(crate) fn granted_bytes(&self) -> Option<usize> {
        let lease = self.sources.values().next()?;
        socket2::SockRef::from(lease.source.socket())
            .recv_buffer_size()
            .ok()
    }

    /// Something happened on a source's socket.
    pub(crate) fn ready(&mut self, field: &mut Field, flow: u32) {
        if let Some(lease) = self.sources.get_mut(&flow) {
            lease.source.receive(field, self.rule, &mut self.buffer);
        }
    }

    /// Sends due datagrams, and at intervals looks for losses.
    pub(crate) fn tick(&mut self, field: &mut Field) {
        if !field.is_stopping() && !self.sending.is_empty() {
            self.send_due(field);
        }
        if field.now.saturating_duration_since(self.swept_at) >= SWEEP {
            self.swept_at = field.now;
            self.sweep(field);
            self.replace(field);
        }
    }

    fn send_due(&mut self, field: &mut Field) {
        let elapsed = field.now.saturating_duration_since(field.begun);
        let due = due(self.rate, elapsed).saturating_sub(self.issued);
        let burst = due_at_once(self.rate);
        if due > burst {
            self.issued += due - burst;
            let phase = field.phase();
            field.count(phase, |tally| tally.datagrams.skipped += due - burst);
        }
        for _ in 0..due.min(burst) {
            let count = self.sending.len().max(1) as u64;
            let turn = usize::try_from(self.issued % count).unwrap_or(0);
            let flow = self.sending.get(turn);
            let Some(lease) = flow.and_then(|flow| self.sources.get_mut(flow)) else {
                return;
            };
            if !lease.source.send(field, &mut self.buffer) {
                return;
            }
            self.issued += 1;
        }
    }

    fn sweep(&mut self, field: &mut Field) {
        let mut drops = None;
        for lease in self.sources.values_mut() {
            if lease.source.has_late(field) {
                // What waits in the buffer came in time.
                lease.source.receive(field, self.rule, &mut self.buffer);
                let drops = drops.get_or_insert_with(Drops::read);
                lease.source.give_up_late(field, drops);
            }
            lease.source.forget_old();
        }
    }

    /// Replaces each source whose life is over, and closes sources that were replaced long ago.
    fn replace(&mut self, field: &mut Field) {
        let Some(life) = self.life else {
            return;
        };
        let is_over =
            |lease: &Lease, after| lease.ends.is_some_and(|ends| ends + after <= field.now);
        let sending = &self.sending;
        self.sources.retain(|flow, lease| {
            !is_over(lease, LINGER) || !lease.source.is_quiet() || sending.contains(flow)
        });
        for slot in 0..self.sending.len() {
            let flow = self.sending.get(slot).copied();
            let lease = flow.and_then(|flow| self.sources.get(&flow));
            if field.is_stopping() || !lease.is_some_and(|lease| is_over(lease, Duration::ZERO)) {
                continue;
            }
            match self.open(field, Some(field.now + life)) {
                Ok(next) => {
                    if let Some(sending) = self.sending.get_mut(slot) {
                        *sending = next;
                    }
                }
                Err(fault) => {
                    field.trouble("a source cannot be opened", &fault);
                    let phase = field.phase();
                    return field.count(phase, |tally| tally.datagrams.failed_here += 1);
                }
            }
        }
    }
}

/// Datagrams due within a time at a rate.
fn due(rate: u32, time: Duration) -> u64 {
    let due = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

fn due_at_once(rate: u32) -> u64 {
    due(rate, BURST).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_to_the_datagram() {
        assert_eq!(due(5000, Duration::from_secs(30)), 150_000);
        assert_eq!(due(3, Duration::from_millis(999)), 2);
        assert_eq!(due_at_once(5000), 100);
        assert_eq!(due_at_once(1), 1);
    }
}
