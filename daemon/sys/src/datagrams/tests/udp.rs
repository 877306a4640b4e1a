//! UDP: senders, joined datagrams, source addresses of replies.

use std::net::IpAddr;

use super::*;

#[test]
fn receive_returns_the_sender() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, here) = bound(address);
        let client = client(address);
        let mut arena = ReceiveArena::new(4, SLOT);
        assert!(matches!(socket.receive(&mut arena), ReceiveOutcome::Empty));
        for text in ["first", "", "third, after an empty one"] {
            client.send_to(text.as_bytes(), here).unwrap();
            receive(&socket, &mut arena, 1, |one| {
                assert_eq!(one.bytes, text.as_bytes());
                assert_eq!(one.from, PeerRef::Ip(client.local_addr().unwrap()));
                assert_eq!((one.to, one.truncated), (None, false));
                send_all(
                    &socket,
                    &[Out {
                        bytes: one.bytes,
                        to: Some(one.from),
                        from: None,
                    }],
                );
            });
            let mut buffer = [0; 64];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (text.as_bytes(), here));
        }
    }
}

#[test]
fn send_joins_equal_datagrams() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (near, _) = bound(address);
        let (far, there) = bound(address);
        let plain = client(address);
        let bytes: Vec<u8> = (0..=255).cycle().take(30 * 1200 + 77).collect();
        let mut outs: Vec<_> = bytes.chunks(1200).map(|chunk| to(chunk, there)).collect();
        // One slot holds one message: all datagrams in it were joined.
        let mut arena = ReceiveArena::new(1, SLOT);
        send_all(&near, &outs);
        until_readable(&far);
        let ReceiveOutcome::Datagrams(batch) = far.receive(&mut arena) else {
            panic!("nothing came");
        };
        let pieces: Vec<_> = datagrams(&batch).map(|one| one.bytes).collect();
        assert_eq!(pieces, bytes.chunks(1200).collect::<Vec<_>>());
        assert!(datagrams(&batch).all(|one| !one.truncated) && !batch.drained());

        // A socket without GRO receives each datagram by itself.
        for out in &mut outs {
            out.to = Some(PeerRef::Ip(plain.local_addr().unwrap()));
        }
        send_all(&near, &outs);
        let mut buffer = [0; 2000];
        for chunk in bytes.chunks(1200) {
            let length = plain.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], chunk);
        }
    }
}

#[test]
fn send_keeps_the_order_of_unequal_datagrams() {
    let (near, _) = bound("127.0.0.1:0");
    let (one, two) = (client("127.0.0.1:0"), client("127.0.0.1:0"));
    let rows: [(&UdpSocket, &[u8]); 12] = [
        (&one, b"aaaa"),
        (&one, b"bbbb"),
        (&one, b"cc"),
        (&one, b"dd"),
        (&one, b"eeeee"),
        (&two, b"fffff"),
        (&one, b""),
        (&one, b""),
        (&one, b"ggg"),
        (&one, b""),
        (&two, b"hhhhh"),
        (&two, b"iiiii"),
    ];
    let outs: Vec<_> = rows
        .iter()
        .map(|(to_, b)| to(b, to_.local_addr().unwrap()))
        .collect();
    send_all(&near, &outs);
    for (peer, bytes) in rows {
        let mut buffer = [0; 16];
        let length = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], bytes);
    }
}

#[test]
fn send_uses_several_calls() {
    let (near, _) = bound("127.0.0.1:0");
    let peers: Vec<_> = (0..3).map(|_| bound("127.0.0.1:0")).collect();
    let bytes: Vec<[u8; 4]> = (0..2500_u32).map(u32::to_be_bytes).collect();
    let mut scratch = SendScratch::new();
    let mut arena = ReceiveArena::new(64, SLOT);
    let peer = |index: usize| peers[index / 100 % 3].1;
    let outs = bytes
        .iter()
        .enumerate()
        .map(|(index, bytes)| to(bytes, peer(index)));
    let outcome = send(&near, &mut scratch, outs, |index, error| {
        panic!("{index}: {error}")
    });
    assert_eq!(
        outcome,
        SendOutcome {
            taken: 2500,
            stopped: None
        }
    );
    for (socket, address) in &peers {
        let mut wanted = (0..2500).filter(|index| peer(*index) == *address);
        let count = wanted.clone().count();
        receive(socket, &mut arena, count, |one| {
            assert_eq!(
                Some(one.bytes),
                wanted.next().map(|index| &bytes[index][..])
            );
        });
    }
}

#[test]
fn send_accepts_runs_longer_than_the_scratch() {
    let (near, _) = bound("127.0.0.1:0");
    let (far, there) = bound("127.0.0.1:0");
    // Contiguous and separate payloads, and sizes that end a message.
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let sizes = [10, 10, 7, 10, 0, 3, 3];
    let payload = |index: usize| &bytes[index % 7 * 10..][..sizes[index % 7]];
    let run = |from: usize| Run {
        destination: to(b"", there),
        payloads: (from..from + 1500).map(payload),
    };
    let mut sent = 0;
    let mut arena = ReceiveArena::new(64, SLOT);
    let outcome = near.send_runs(
        &mut SendScratch::new(),
        [run(0), run(1500)],
        |index, error| panic!("{index}: {error}"),
    );
    assert_eq!((outcome.taken, outcome.blocked()), (3000, false));
    receive(&far, &mut arena, 3000, |one| {
        assert_eq!(one.bytes, payload(sent), "{sent}");
        sent += 1;
    });
}

#[test]
fn send_splits_oversized_messages() {
    let (near, _) = bound("127.0.0.1:0");
    let (far, there) = bound("127.0.0.1:0");
    let bytes = vec![9; 4000];
    // With a path MTU below 4000 bytes the joined message is refused, and each datagram is sent
    // alone.
    for _ in 0..3 {
        send_all(&near, &[to(&bytes, there); 40]);
        receive(&far, &mut ReceiveArena::new(64, SLOT), 40, |one| {
            assert_eq!(one.bytes, bytes);
        });
    }
    let limit = near.join_limit();
    assert!(limit == UDP_PAYLOAD_MAX || limit == 3999, "{limit}");
    send_all(&near, &[to(&[1; 1400], there); 40]);
    receive(&far, &mut ReceiveArena::new(64, SLOT), 40, |one| {
        assert_eq!(one.bytes, [1; 1400]);
    });
}

#[test]
fn send_uses_the_local_address_of_the_request() {
    let addresses = [
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::]:0", "127.0.0.2"),
        ("[::]:0", "::1"),
    ];
    let mut arena = ReceiveArena::new(8, SLOT);
    for (here, asked) in addresses {
        let (socket, address) = bound(here);
        let asked: IpAddr = asked.parse().unwrap();
        let asked = SocketAddr::new(asked, address.port());
        let client = client(if asked.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        });
        // Several rounds in one arena: no control message may be lost.
        for round in 0..3 {
            for _ in 0..2 {
                client.send_to(b"where?", asked).unwrap();
            }
            receive(&socket, &mut arena, 2, |one| {
                let local = one.to.unwrap();
                assert_eq!(local.ip, asked.ip(), "round {round}");
                assert!(local.interface > 0);
                assert_eq!(one.from, PeerRef::Ip(client.local_addr().unwrap()));
                let reply = Out {
                    bytes: b"here",
                    to: Some(one.from),
                    from: one.to,
                };
                send_all(&socket, &[reply; 2]);
            });
            for _ in 0..4 {
                let mut buffer = [0; 8];
                let (length, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], from), (&b"here"[..], asked));
            }
        }
    }
}

#[test]
fn arena_and_scratch_move_between_threads() {
    let mut arena = ReceiveArena::new(2, SLOT);
    let mut scratch = SendScratch::default();
    let (socket, here) = bound("127.0.0.1:0");
    std::thread::spawn(move || {
        let (arena, scratch) = (&mut arena, &mut scratch);
        send(&socket, scratch, [to(b"to myself", here)], |_, error| {
            panic!("{error}")
        });
        receive(&socket, arena, 1, |one| assert_eq!(one.bytes, b"to myself"));
    })
    .join()
    .unwrap();
}
