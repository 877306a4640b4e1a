//! What the kernel dropped because a socket of ours was full. It is the number that `SO_RXQ_OVFL`
//! tells, read from `/proc/net`: that option speaks only with the next datagram, and after the
//! last answer there is none.

use std::collections::HashMap;
use std::fs;
use std::net::UdpSocket;

use nix::sys::stat::fstat;

const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// Drops by the inode of the socket.
#[derive(Debug)]
pub(crate) struct Drops {
    by_inode: HashMap<u64, u64>,
}

impl Drops {
    /// Asks the kernel. What cannot be read is no excuse for a loss.
    pub(crate) fn read() -> Self {
        let mut by_inode = HashMap::new();
        for table in TABLES {
            let text = fs::read_to_string(table).unwrap_or_default();
            by_inode.extend(text.lines().skip(1).filter_map(row));
        }
        Self { by_inode }
    }

    /// How many datagrams this socket lost since it was opened.
    pub(crate) fn of(&self, inode: u64) -> u64 {
        self.by_inode.get(&inode).copied().unwrap_or(0)
    }
}

/// By which the kernel's tables name a socket.
pub(crate) fn inode(socket: &UdpSocket) -> u64 {
    fstat(socket).map_or(0, |stat| stat.st_ino)
}

/// The inode is the tenth word, the drops are the last.
fn row(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let inode = words.get(9)?.parse().ok()?;
    let drops = words.get(12)?.parse().ok()?;
    Some((inode, drops))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_socket_has_its_drops_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(4096)
            .unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = inode(&socket);
        assert_eq!(Drops::read().of(inode), 0);
        let address = socket.local_addr().unwrap();
        for _ in 0..100 {
            sender.send_to(b"x", address).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        let mut kept = 0;
        while socket.recv(&mut [0; 8]).is_ok() {
            kept += 1;
        }
        assert!(kept < 100, "nothing was dropped");
        assert_eq!(Drops::read().of(inode), 100 - kept);
    }
}
