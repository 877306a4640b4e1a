//! The sending half: what was gathered goes out in as few calls as possible.

use std::io;
use std::iter;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering;

use super::gather::{Message, SendScratch, Source};
use super::{DatagramSocket, Family, LocalAddress};
use crate::address::PeerRef;

/// A datagram to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// What it says; borrowed, never copied.
    pub bytes: &'a [u8],
    /// To whom; `None` for the one peer of a dialled socket.
    pub to: Option<PeerRef<'a>>,
    /// From which of our addresses: that which the request was sent to. `None` lets the kernel choose.
    pub from: Option<LocalAddress>,
}

/// How far a send went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOutcome {
    /// How many datagrams, from the first, are done with: sent, or reported as failed.
    pub taken: usize,
    /// Why the others were not tried; `None` when all were taken.
    pub stopped: Option<Stop>,
}

impl SendOutcome {
    /// Whether some are left.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.stopped.is_some()
    }
}

/// Why a send stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The socket is full: readiness to write will say when to go on.
    Full,
    /// The kernel is out of room somewhere else (`ENOBUFS`, `ENOMEM`): no readiness will tell; pause
    /// or drop.
    NoMemory,
}

/// Where datagrams go to, and where they come from.
pub trait Road {
    /// To whom; `None` for the one peer of a dialled socket.
    fn to(&self) -> Option<PeerRef<'_>>;
    /// From which of our addresses: that which the request was sent to. `None` lets the kernel choose.
    fn from(&self) -> Option<LocalAddress>;
}

/// Datagrams that go the same way, to be sent one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Run<R, P> {
    /// The way.
    pub road: R,
    /// What they say; borrowed, never copied.
    pub payloads: P,
}

impl Road for Outgoing<'_> {
    fn to(&self) -> Option<PeerRef<'_>> {
        self.to
    }

    fn from(&self) -> Option<LocalAddress> {
        self.from
    }
}

impl DatagramSocket {
    /// Sends `outs` in order, in as few calls as possible, without waiting.
    ///
    /// A datagram that fails for itself (too long, port 0, not allowed, refused) is told to
    /// `failed` with its number among `outs`, and the rest goes on. When the socket is full, what
    /// was taken is counted and the caller keeps the rest; `outs` may have been asked for more than
    /// was taken. An undialled Unix socket never stops for a full peer, which would hold up all
    /// others with no event to end it: that datagram fails with `EAGAIN`.
    pub fn send<'a>(
        &self,
        scratch: &mut SendScratch,
        outs: impl IntoIterator<Item = Outgoing<'a>>,
        failed: impl FnMut(usize, io::Error),
    ) -> SendOutcome {
        let runs = outs.into_iter().map(|out| Run {
            road: out,
            payloads: iter::once(out.bytes),
        });
        self.send_runs(scratch, runs, failed)
    }

    /// The same for datagrams of which many go one way, which is then looked at once; they are
    /// numbered through all `runs`.
    pub fn send_runs<'a, R: Road, P: Iterator<Item = &'a [u8]>>(
        &self,
        scratch: &mut SendScratch,
        runs: impl IntoIterator<Item = Run<R, P>>,
        mut failed: impl FnMut(usize, io::Error),
    ) -> SendOutcome {
        let mut source = Source::new(runs.into_iter());
        let mut taken = 0;
        loop {
            let end = scratch.gather(self, &mut source, taken);
            if scratch.messages.is_empty() {
                return SendOutcome {
                    taken,
                    stopped: None,
                };
            }
            scratch.connect_headers();
            if let Err((taken, stop)) = self.flush(scratch, &mut failed) {
                return SendOutcome {
                    taken,
                    stopped: Some(stop),
                };
            }
            taken = end;
        }
    }

    /// Sends all that was gathered, or says how many datagrams of the send are done with and why.
    fn flush(
        &self,
        scratch: &mut SendScratch,
        failed: &mut impl FnMut(usize, io::Error),
    ) -> Result<(), (usize, Stop)> {
        let mut at = 0;
        while let Some(message) = scratch.messages.get(at).copied() {
            let Some(headers) = scratch.headers.get_mut(at..scratch.messages.len()) else {
                return Ok(());
            };
            match self.send_messages(headers) {
                Ok(count) => at += count.max(1),
                Err(error) => {
                    if let Some(stop) = self.stop(&error) {
                        return Err((message.first, stop));
                    }
                    if message.count > 1 {
                        let datagrams = message.datagrams(&scratch.pieces);
                        self.send_apart(headers, message, datagrams, &error, failed)?;
                    } else {
                        failed(message.first, error);
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends the datagrams of a message that was refused as a whole, each for itself, and learns
    /// from it: if they can go alone, their size is not joined on this socket any more.
    fn send_apart(
        &self,
        headers: &mut [libc::mmsghdr],
        message: Message,
        datagrams: impl Iterator<Item = libc::iovec>,
        refusal: &io::Error,
        failed: &mut impl FnMut(usize, io::Error),
    ) -> Result<(), (usize, Stop)> {
        let Some(header) = headers.first_mut() else {
            return Ok(());
        };
        header.msg_hdr.msg_controllen = message.source_bytes;
        header.msg_hdr.msg_iovlen = 1;
        if message.source_bytes == 0 {
            header.msg_hdr.msg_control = ptr::null_mut();
        }
        for (step, mut datagram) in datagrams.enumerate() {
            header.msg_hdr.msg_iov = &raw mut datagram;
            match self.send_messages(std::slice::from_mut(header)) {
                Ok(_) => self.learn(message.segment, refusal),
                Err(error) => match self.stop(&error) {
                    Some(stop) => return Err((message.first + step, stop)),
                    None => failed(message.first + step, error),
                },
            }
        }
        Ok(())
    }

    pub(super) fn learn(&self, segment: usize, refusal: &io::Error) {
        let limit = match refusal.raw_os_error() {
            // Longer than the path takes in one piece: alone it is fragmented.
            Some(libc::EINVAL | libc::EMSGSIZE) => segment.saturating_sub(1),
            // The device or the tunnel cannot do it at all.
            Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => 0,
            // Not about joining: an ICMP error that waited here, for instance.
            _ => return,
        };
        self.join_limit.fetch_min(limit, Ordering::Relaxed);
    }

    fn stop(&self, error: &io::Error) -> Option<Stop> {
        match error.raw_os_error() {
            Some(libc::EAGAIN) if self.family != Family::Unix || self.connected => Some(Stop::Full),
            Some(libc::ENOBUFS | libc::ENOMEM) => Some(Stop::NoMemory),
            _ => None,
        }
    }

    /// One call; how many messages went. The error is that of the first.
    fn send_messages(&self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            let count = libc::c_uint::try_from(headers.len()).unwrap_or(0);
            // SAFETY: `headers` were pointed by `connect_headers` into vectors of the scratch that
            // nobody has written to since, or by `send_apart` to a piece of its own, and the
            // payloads are borrowed for longer than the send.
            let result =
                unsafe { libc::sendmmsg(self.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
            if let Ok(count) = usize::try_from(result) {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
