//! The sending half: gathered messages go out in as few calls as possible.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering;

use super::gather::{Message, SendScratch, Source};
use super::{DatagramSocket, Family, LocalAddress};
use crate::address::PeerRef;

/// How far a send went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOutcome {
    /// The number of datagrams, from the first, that were sent or reported as failed.
    pub taken: usize,
    /// Why the others were not tried; `None` when all were taken.
    pub stopped: Option<Stop>,
}

impl SendOutcome {
    /// Whether some datagrams are left.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.stopped.is_some()
    }
}

/// Why a send stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The socket is full: wait for write readiness.
    Full,
    /// The kernel is out of memory elsewhere (`ENOBUFS`, `ENOMEM`): no readiness event will follow;
    /// pause or drop.
    NoMemory,
}

/// The addresses of datagrams to be sent.
pub trait Destination {
    /// The peer's address; `None` on a connected socket.
    fn to(&self) -> Option<PeerRef<'_>>;
    /// The local address to send from, as a rule the one that the request was sent to; `None` lets
    /// the kernel choose.
    fn from(&self) -> Option<LocalAddress>;
}

/// Consecutive datagrams with one destination.
#[derive(Debug, Clone, Copy)]
pub struct Run<D, P> {
    /// Their addresses, read once for the whole run.
    pub destination: D,
    /// The payloads; borrowed, never copied.
    pub payloads: P,
}

impl DatagramSocket {
    /// Sends the datagrams of all `runs` in order, in as few calls as possible, without waiting.
    ///
    /// A datagram that fails by itself (too long, port 0, not allowed, refused) is reported to
    /// `failed` with its number among all datagrams of the call, and the send continues. When the
    /// socket is full, the outcome counts the datagrams taken, and the caller keeps the rest; the
    /// iterators may have yielded more than was taken. An unconnected Unix socket never stops for a
    /// full peer: no event would end that wait, and it would hold up all other peers. Such a datagram
    /// fails with `EAGAIN`.
    pub fn send_runs<'a, D: Destination, P: Iterator<Item = &'a [u8]>>(
        &self,
        scratch: &mut SendScratch,
        runs: impl IntoIterator<Item = Run<D, P>>,
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

    /// Sends all gathered messages. An error holds the number of datagrams done and the reason.
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

    /// Sends the datagrams of a message that was refused as a whole one by one. If they pass alone,
    /// datagrams of this size are no longer joined on this socket.
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
            // Longer than the path MTU: alone, the datagram is fragmented.
            Some(libc::EINVAL | libc::EMSGSIZE) => segment.saturating_sub(1),
            // The device or the tunnel cannot do it at all.
            Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => 0,
            // Unrelated to joining, such as a pending ICMP error.
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

    /// One call; returns the number of messages sent. An error is that of the first message.
    fn send_messages(&self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            let count = libc::c_uint::try_from(headers.len()).unwrap_or(0);
            // SAFETY: `headers` point into vectors of the scratch that are unchanged since
            // `connect_headers`, or to a local piece of `send_apart`; the payloads are borrowed for
            // longer than the send.
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
