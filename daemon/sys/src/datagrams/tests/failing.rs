//! Failures of one datagram that must not affect others.

use std::io;

use super::*;
use crate::testing::no_children;

#[test]
fn send_without_source_and_with_a_foreign_one() {
    let (socket, _) = bound("0.0.0.0:0");
    let client = client("127.0.0.1:0");
    let peer = Some(PeerRef::Ip(client.local_addr().unwrap()));
    send_all(
        &socket,
        &[Out {
            bytes: b"x",
            to: peer,
            from: None,
        }],
    );
    assert_eq!(
        client.recv_from(&mut [0; 8]).unwrap().1.ip().to_string(),
        "127.0.0.1"
    );
    let foreign = LocalAddress {
        ip: "192.0.2.1".parse().unwrap(),
        interface: 0,
    };
    let out = Out {
        bytes: b"x",
        to: peer,
        from: Some(foreign),
    };
    let mut failed = Vec::new();
    let mut scratch = SendScratch::new();
    let outcome = send(&socket, &mut scratch, [out; 3], |index, _| {
        failed.push(index);
    });
    assert_eq!((outcome.taken, outcome.blocked()), (3, false));
    assert_eq!(failed, [0, 1, 2]);
    assert_eq!(
        socket.join_limit(),
        UDP_PAYLOAD_MAX,
        "that was no fault of joining"
    );
}

#[test]
fn send_reports_failures_and_continues() {
    let (near, _) = bound("127.0.0.1:0");
    let far = client("127.0.0.1:0");
    let good = far.local_addr().unwrap();
    let long = vec![0; 70_000];
    let outs = [
        to(b"one", good),
        to(b"x", SocketAddr::from(([127, 0, 0, 1], 0))),
        to(b"two", good),
        to(&long, good),
        to(b"x", SocketAddr::from(([255, 255, 255, 255], 9))),
        to(b"x", "[::1]:9".parse().unwrap()),
        Out {
            bytes: b"x",
            to: None,
            from: None,
        },
        Out {
            bytes: b"x",
            to: Some(PeerRef::Unix(None)),
            from: None,
        },
        to(b"three", good),
    ];
    let mut failed = Vec::new();
    let outcome = send(&near, &mut SendScratch::new(), outs, |index, error| {
        failed.push((index, error.raw_os_error().unwrap()));
    });
    assert_eq!(
        outcome,
        SendOutcome {
            taken: 9,
            stopped: None
        }
    );
    let wanted = [
        (1, libc::EINVAL),
        (3, libc::EMSGSIZE),
        (4, libc::EACCES),
        (5, libc::EAFNOSUPPORT),
        (6, libc::EDESTADDRREQ),
    ];
    assert_eq!(failed[..5], wanted);
    assert_eq!(
        failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [1, 3, 4, 5, 6, 7]
    );
    for text in ["one", "two", "three"] {
        let mut buffer = [0; 16];
        let length = far.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], text.as_bytes());
    }
}

#[test]
fn receive_reports_an_icmp_refusal_and_continues() {
    let _alone = no_children();
    let (peer, there) = bound("127.0.0.1:0");
    drop(peer);
    let near = DatagramSocket::connect_udp(there).unwrap();
    let mut arena = ReceiveArena::new(2, SLOT);
    send_all(
        &near,
        &[Out {
            bytes: b"anyone?",
            to: None,
            from: None,
        }],
    );
    until_readable(&near);
    match near.receive(&mut arena) {
        ReceiveOutcome::Refused(error) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(near.receive(&mut arena), ReceiveOutcome::Empty));

    // The peer comes back, and the socket works as before.
    let (peer, _) = bound(&there.to_string());
    send_all(
        &near,
        &[Out {
            bytes: b"anyone?",
            to: None,
            from: None,
        }],
    );
    receive(&peer, &mut arena, 1, |one| {
        assert_eq!(one.bytes, b"anyone?");
    });
}

#[test]
fn send_splits_a_refused_message() {
    let _alone = no_children();
    let (peer, there) = bound("127.0.0.1:0");
    drop(peer);
    let near = DatagramSocket::connect_udp(there).unwrap();
    let memory: Vec<u8> = (0..=255).cycle().take(2 * 50 + 7 + 30).collect();
    let (together, elsewhere) = memory.split_at(2 * 50 + 7);
    // Two pieces of memory: contiguous datagrams, and one of the same size elsewhere.
    let payloads = [
        &elsewhere[..30],
        &together[..30],
        &together[30..60],
        &together[60..67],
    ];
    let out = |bytes| Out {
        bytes,
        to: None,
        from: None,
    };
    send_all(&near, &[out(b"anyone?")]);
    until_readable(&near);
    // The ICMP error is pending, and the next call returns it instead of sending.
    let (peer, _) = bound(&there.to_string());
    send_all(&near, &payloads.map(out));
    let mut arena = ReceiveArena::new(64, SLOT);
    let mut wanted = payloads.iter();
    receive(&peer, &mut arena, payloads.len(), |one| {
        assert_eq!(Some(&one.bytes), wanted.next());
    });
    assert_eq!(near.join_limit(), UDP_PAYLOAD_MAX);
}

#[test]
fn send_reports_each_datagram_of_a_refused_message() {
    let (socket, _) = bound("0.0.0.0:0");
    let client = client("127.0.0.1:0");
    let foreign = LocalAddress {
        ip: "192.0.2.1".parse().unwrap(),
        interface: 0,
    };
    let memory = [7; 95];
    let outs = memory.chunks(20).map(|bytes| Out {
        bytes,
        to: Some(PeerRef::Ip(client.local_addr().unwrap())),
        from: Some(foreign),
    });
    let mut failed = Vec::new();
    let mut scratch = SendScratch::new();
    let outcome = send(&socket, &mut scratch, outs, |index, _| failed.push(index));
    assert_eq!((outcome.taken, outcome.blocked()), (5, false));
    assert_eq!(failed, [0, 1, 2, 3, 4]);
}

#[test]
fn receive_counts_drops() {
    let (socket, _) = bind_udp("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
    let PeerAddress::Ip(here) = socket.local_address().unwrap() else {
        panic!("not an IP socket");
    };
    let client = client("127.0.0.1:0");
    for _ in 0..100 {
        client.send_to(&[0; 1000], here).unwrap();
    }
    let mut arena = ReceiveArena::new(64, SLOT);
    let mut received = 0;
    while let ReceiveOutcome::Datagrams(batch) = socket.receive(&mut arena) {
        received += datagrams(&batch).count();
        assert!(batch.drained());
    }
    assert!(received < 100);
    client.send_to(b"after", here).unwrap();
    until_readable(&socket);
    let ReceiveOutcome::Datagrams(batch) = socket.receive(&mut arena) else {
        panic!("nothing came");
    };
    assert_eq!(
        batch.kernel_drops(),
        Some(100 - u32::try_from(received).unwrap())
    );
}

#[test]
fn send_learns_the_join_limit() {
    let (socket, _) = bound("127.0.0.1:0");
    let learn = |segment, errno| {
        socket.learn(segment, &io::Error::from_raw_os_error(errno));
        socket.join_limit()
    };
    assert_eq!(learn(1200, libc::ECONNREFUSED), UDP_PAYLOAD_MAX);
    assert_eq!(learn(4000, libc::EINVAL), 3999);
    assert_eq!(learn(1400, libc::EMSGSIZE), 1399);
    assert_eq!(learn(2000, libc::EINVAL), 1399);
    assert_eq!(learn(64, libc::EIO), 0);
}
