//! Unix datagrams: names, full peers, truncation, attached descriptors.

use std::io::{self, IoSlice, Read};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::*;
use crate::listen::bind_unixgram;
use crate::testing::until_writable;

#[test]
fn receive_marks_truncated_datagrams() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("d");
    let unix = bind_unixgram(&path, None, None).unwrap();
    let (udp, there) = bound("127.0.0.1:0");
    let mut arena = ReceiveArena::new(4, 16);
    for length in [15, 16, 17, 1000] {
        let bytes = vec![3; length];
        UnixDatagram::unbound()
            .unwrap()
            .send_to(&bytes, &path)
            .unwrap();
        client("127.0.0.1:0").send_to(&bytes, there).unwrap();
        for socket in [&unix, &udp] {
            receive(socket, &mut arena, 1, |one| {
                assert_eq!(one.bytes, &bytes[..length.min(16)]);
                assert_eq!(one.truncated, length > 16);
            });
        }
    }
}

#[test]
fn receive_returns_the_name_of_unix_peers() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("d");
    let socket = bind_unixgram(&path, Some(0o600), None).unwrap();
    let named = UnixDatagram::bind(room.path().join("peer")).unwrap();
    let dialled = DatagramSocket::connect_unixgram(&path).unwrap();
    let mut arena = ReceiveArena::new(4, SLOT);

    named.send_to(b"path", &path).unwrap();
    send_all(
        &dialled,
        &[Out {
            bytes: b"abstract",
            to: None,
            from: None,
        }],
    );
    UnixDatagram::unbound()
        .unwrap()
        .send_to(b"", &path)
        .unwrap();
    let mut names = Vec::new();
    receive(&socket, &mut arena, 3, |one| {
        names.push((one.bytes.to_vec(), one.from.to_owned()));
        if one.from != PeerRef::Unix(None) {
            send_all(
                &socket,
                &[Out {
                    bytes: b"yes",
                    to: Some(one.from),
                    from: None,
                }],
            );
        }
    });
    assert_eq!(names[0].0, b"path");
    assert_eq!(
        names[0].1.to_string(),
        room.path().join("peer").display().to_string()
    );
    assert_eq!(
        (&names[1].0[..], &names[1].1),
        (&b"abstract"[..], &dialled.local_address().unwrap())
    );
    assert_eq!(names[2], (Vec::new(), PeerAddress::Unix(None)));
    named.recv(&mut [0; 8]).unwrap();
    receive(&dialled, &mut arena, 1, |one| assert_eq!(one.bytes, b"yes"));
    assert!(DatagramSocket::connect_unixgram(Path::new("/nowhere/d")).is_err());
}

#[test]
fn send_stops_for_a_full_peer_on_connected_sockets_only() {
    let room = tempfile::tempdir().unwrap();
    let (slow, quick) = (room.path().join("slow"), room.path().join("quick"));
    let peer = bind_unixgram(&slow, None, None).unwrap();
    let near = DatagramSocket::connect_unixgram(&slow).unwrap();
    let mut scratch = SendScratch::new();
    let mut arena = ReceiveArena::new(64, 16);
    let numbers: Vec<[u8; 4]> = (0..3000_u32).map(u32::to_be_bytes).collect();
    let outs = |from: usize| {
        numbers[from..].iter().map(|bytes| Out {
            bytes,
            to: None,
            from: None,
        })
    };
    let (mut sent, mut received) = (0, 0);
    while sent < numbers.len() {
        let outcome = send(&near, &mut scratch, outs(sent), |_, error| {
            panic!("{error}")
        });
        sent += outcome.taken;
        assert_eq!(outcome.blocked(), sent < numbers.len());
        receive(&peer, &mut arena, sent - received, |one| {
            assert_eq!(one.bytes, numbers[received]);
            received += 1;
        });
        until_writable(&near);
    }

    let other = bind_unixgram(&quick, None, None).unwrap();
    let socket = bind_unixgram(&room.path().join("server"), None, None).unwrap();
    let peer_named =
        |path: &Path| PeerAddress::Unix(Some(path.as_os_str().as_encoded_bytes().to_vec()));
    let (slow, quick) = (peer_named(&slow), peer_named(&quick));
    let mut outs = vec![
        Out {
            bytes: b"x",
            to: Some(slow.as_ref()),
            from: None
        };
        1000
    ];
    outs.push(Out {
        bytes: b"quick",
        to: Some(quick.as_ref()),
        from: None,
    });
    let mut failures = 0;
    let outcome = send(&socket, &mut scratch, outs, |_, error| {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        failures += 1;
    });
    assert_eq!(
        outcome,
        SendOutcome {
            taken: 1001,
            stopped: None
        }
    );
    assert!(failures > 0);
    receive(&other, &mut arena, 1, |one| assert_eq!(one.bytes, b"quick"));
}

#[test]
fn receive_closes_attached_descriptors() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("d");
    let socket = bind_unixgram(&path, None, None).unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sendmsg(
        sender.as_raw_fd(),
        &[IoSlice::new(b"take this")],
        &[ControlMessage::ScmRights(&[writer.as_raw_fd()])],
        MsgFlags::empty(),
        Some(&UnixAddr::new(&path).unwrap()),
    )
    .unwrap();
    drop(writer);
    // An arena that has offered room for control messages before.
    let (udp, there) = bound("127.0.0.1:0");
    let mut arena = ReceiveArena::new(4, SLOT);
    client("127.0.0.1:0").send_to(b"x", there).unwrap();
    receive(&udp, &mut arena, 1, |_| {});
    receive(&socket, &mut arena, 1, |one| {
        assert_eq!(one.bytes, b"take this");
    });
    // Readable only because the last writer is closed.
    until_readable(&reader);
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}
