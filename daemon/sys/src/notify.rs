//! Messages to the service manager: datagrams, some with a descriptor, with a bounded wait.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use socket2::{Domain, Socket, Type};

/// How long an urgent message waits for room in the manager's queue.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// A socket that sends to the manager. Not connected: the manager may restart under the same name.
///
/// It is the only blocking socket, because an unconnected socket gets no event when the peer's queue has room again;
/// its send timeout bounds the wait.
pub struct NotifySocket {
    socket: Socket,
    manager: UnixAddr,
}

/// Whether a message may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It is repeated soon: never waits.
    Repeated,
    /// It is sent once: waits up to half a second while the manager's queue is full.
    Once,
}

impl NotifySocket {
    /// Opens a socket to the manager of `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// `InvalidInput` for any other form; `EMFILE`, `ENFILE`.
    pub fn open(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes() {
            [b'@', rest @ ..] if !rest.is_empty() => UnixAddr::new_abstract(rest)?,
            [b'/', ..] => UnixAddr::new(name.as_bytes())?,
            _ => {
                let text = "it must be an absolute path, or @ and an abstract name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let socket = Socket::new_raw(Domain::UNIX, Type::DGRAM.cloexec(), None)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket, manager })
    }

    /// Sends one message, with a copy of `fd` if given.
    ///
    /// # Errors
    /// `WouldBlock` when the manager's queue stayed full; `ENOENT`, `ECONNREFUSED`, `EACCES`, `EMSGSIZE`.
    pub fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>, urgency: Urgency) -> io::Result<()> {
        let fds: Vec<_> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[] } else { &control[..] };
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        if urgency == Urgency::Repeated {
            flags |= MsgFlags::MSG_DONTWAIT;
        }
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(text.as_bytes())],
            control,
            flags,
            Some(&self.manager),
        )?;
        // A datagram is sent whole or not at all.
        Ok(())
    }
}

impl fmt::Debug for NotifySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NotifySocket");
        shown.field("manager", &self.manager.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSliceMut;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Instant;

    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use tempfile::TempDir;

    fn manager() -> (TempDir, UnixDatagram, NotifySocket) {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        (room, socket, NotifySocket::open(path.as_os_str()).unwrap())
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn notify_sends_one_message() {
        let (_room, socket, notify) = manager();
        for urgency in [Urgency::Once, Urgency::Repeated] {
            notify.send("READY=1\nSTATUS=x\n", None, urgency).unwrap();
            assert_eq!(received(&socket), "READY=1\nSTATUS=x\n");
        }
    }

    #[test]
    fn notify_accepts_abstract_names() {
        let name = format!("polyport-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let notify = NotifySocket::open(format!("@{name}").as_ref()).unwrap();
        notify.send("WATCHDOG=1\n", None, Urgency::Once).unwrap();
        assert_eq!(received(&socket), "WATCHDOG=1\n");
        for nonsense in ["", "@", "run/notify", "vsock:2:99"] {
            let error = NotifySocket::open(nonsense.as_ref()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{nonsense}");
        }
    }

    #[test]
    fn notify_passes_a_descriptor() {
        let (_room, socket, notify) = manager();
        let file = tempfile::tempfile().unwrap();
        let fd = Some(file.as_fd());
        notify.send("FDSTORE=1\n", fd, Urgency::Once).unwrap();
        let mut buffer = [0; 64];
        let mut space = nix::cmsg_space!([i32; 4]);
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(
            socket.as_raw_fd(),
            &mut pieces,
            Some(&mut space),
            MsgFlags::empty(),
        )
        .unwrap();
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
            panic!("no descriptor");
        };
        assert_eq!(fds.len(), 1);
        let copy = std::fs::metadata(format!("/proc/self/fd/{}", fds[0])).unwrap();
        assert_eq!(copy.ino(), file.metadata().unwrap().ino());
        nix::unistd::close(fds[0]).unwrap();
    }

    #[test]
    fn notify_waits_a_bounded_time_for_a_full_queue() {
        let (_room, socket, notify) = manager();
        let begin = Instant::now();
        while notify.send("WATCHDOG=1\n", None, Urgency::Repeated).is_ok() {}
        let error = notify
            .send("WATCHDOG=1\n", None, Urgency::Repeated)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let full = Instant::now();
        let error = notify.send("READY=1\n", None, Urgency::Once).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(full.elapsed() >= SEND_TIMEOUT && begin.elapsed() < Duration::from_secs(10));
        std::thread::scope(|scope| {
            let ready = scope.spawn(|| notify.send("READY=1\n", None, Urgency::Once));
            received(&socket);
            ready.join().unwrap().unwrap();
        });
    }

    #[test]
    fn notify_reaches_a_restarted_manager() {
        let (room, socket, notify) = manager();
        let path = room.path().join("notify");
        drop(socket);
        let error = notify.send("READY=1\n", None, Urgency::Once).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path).unwrap();
        let error = notify.send("READY=1\n", None, Urgency::Once).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let again = UnixDatagram::bind(&path).unwrap();
        notify.send("READY=1\n", None, Urgency::Once).unwrap();
        assert_eq!(received(&again), "READY=1\n");
    }
}
