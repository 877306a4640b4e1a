//! Output of a stream: gathered while a callback runs, sent in one piece when its event is done, queued only when
//! the socket takes no more.

use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use super::stream::{Flag, Stream};
use super::{Engine, SCRATCH};
use crate::shut::Reason;

/// Pieces from this size on are sent from where they stand, without a copy.
const BORROWED: usize = 16 << 10;

impl Engine {
    /// Bytes that wait for the stream's socket.
    pub(super) fn output_of(&self, stream: &Stream) -> usize {
        let gathered = if self.out_of.get() == stream.id {
            self.out.borrow().len()
        } else {
            0
        };
        stream.queue.borrow().len() + gathered
    }

    /// Takes bytes of a handler: gathers, sends or queues them.
    pub(super) fn take_output(&self, stream: &Rc<Stream>, pieces: &[IoSlice<'_>], len: usize) {
        let own = self.out_of.get() == stream.id;
        if !stream.queue.borrow().is_empty() {
            stream.queue.borrow_mut().push(pieces, 0);
        } else if len >= BORROWED && pieces.len() < 64 {
            if own {
                self.send_gathered(stream);
            }
            self.send_now(stream, pieces, len);
        } else if own {
            let mut out = self.out.borrow_mut();
            pieces.iter().for_each(|piece| out.extend_from_slice(piece));
            if out.len() >= SCRATCH {
                drop(out);
                self.send_gathered(stream);
            }
        } else {
            stream.queue.borrow_mut().push(pieces, 0);
        }
        if !own && stream.mark(Flag::TOUCHED) {
            self.touched.borrow_mut().push(Rc::clone(stream));
        }
    }

    /// Sends pieces from where they stand, and queues what the socket does not take.
    fn send_now(&self, stream: &Rc<Stream>, pieces: &[IoSlice<'_>], len: usize) {
        if !stream.queue.borrow().is_empty() {
            return stream.queue.borrow_mut().push(pieces, 0);
        }
        let sent = match pieces {
            [only] => stream.socket.write(only),
            several => stream.socket.write_vectored(several),
        };
        match sent {
            Ok(count) => {
                stream.sent(count, self.clock.now());
                if count < len {
                    stream.queue.borrow_mut().push(pieces, count);
                    self.blocked(stream);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {
                    stream.queue.borrow_mut().push(pieces, 0);
                    self.blocked(stream);
                }
                _ => self.broken(stream, &error),
            },
        }
    }

    /// Sends what callbacks of this stream have gathered.
    fn send_gathered(&self, stream: &Rc<Stream>) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            return;
        }
        if !stream.has(Flag::BROKEN) {
            self.send_now(stream, &[IoSlice::new(&out)], out.len());
        }
        out.clear();
    }

    /// Sends all that the socket takes now: what was gathered, what is queued, and our end.
    pub(super) fn flush(&self, stream: &Rc<Stream>) {
        if self.out_of.get() == stream.id {
            self.send_gathered(stream);
        }
        while !stream.has(Flag::BROKEN) {
            let mut queue = stream.queue.borrow_mut();
            if queue.is_empty() {
                break;
            }
            match stream.socket.write(queue.front()) {
                Ok(count) => {
                    queue.sent(count);
                    let empty = queue.is_empty();
                    drop(queue);
                    stream.sent(count, self.clock.now());
                    stream
                        .blocked_since
                        .set(if empty { 0 } else { self.clock.now() });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    drop(queue);
                    if error.kind() != ErrorKind::WouldBlock {
                        self.broken(stream, &error);
                    } else if stream.blocked_since.get() == 0 {
                        self.blocked(stream);
                    } else {
                        self.arm(stream);
                    }
                    break;
                }
            }
        }
        let sent_all = stream.queue.borrow().is_empty();
        // When the peer's end was shown too, the close that follows says ours: one call less.
        let closes = stream.has(Flag::FIN_SHOWN);
        if sent_all && stream.has(Flag::FIN_WANTED) && !closes && !stream.has(Flag::BROKEN) {
            self.end_our_direction(stream);
        }
    }

    /// Drops what the socket has not taken.
    pub(super) fn drop_output(&self, stream: &Stream) {
        if self.out_of.get() == stream.id {
            self.out.borrow_mut().clear();
        }
        stream.queue.borrow_mut().clear();
    }

    pub(super) fn end_our_direction(&self, stream: &Stream) {
        if stream.mark(Flag::FIN_SENT) {
            // It fails only when the connection is gone, which the next read tells as well.
            drop(stream.socket.shutdown_write());
        }
    }

    /// The socket takes no more: the write timeout begins.
    fn blocked(&self, stream: &Rc<Stream>) {
        stream.blocked_since.set(self.clock.now().max(1));
        self.arm(stream);
    }

    /// The socket failed.
    pub(super) fn broken(&self, stream: &Rc<Stream>, error: &std::io::Error) {
        stream.set(Flag::BROKEN);
        stream.clear(Flag::READABLE);
        stream.queue.borrow_mut().clear();
        let (reason, why) = match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                (Reason::PeerReset, None)
            }
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                (Reason::PeerReset, Some(error.to_string().into()))
            }
            _ => (Reason::Host, Some(error.to_string().into())),
        };
        stream.end(reason, false, why);
    }
}
