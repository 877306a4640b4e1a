//! Datagrams to servers that lose, repeat or spoil some of them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::datagrams::{self, Answers, echo};
use crate::good::for_a_while;
use crate::lines::Count;
use crate::tool::{Ended, Tool};

/// Loads a server that does the action to each 25th datagram.
fn each_25th(
    more: &str,
    action: impl Fn(&[u8], SocketAddr) -> Answers + Send + 'static,
) -> (Ended, u64) {
    let (heard, done) = (Count::default(), Count::default());
    let counted = done.clone();
    let udp = datagrams::serve(move |datagram, from| {
        if heard.each(25, &counted) {
            action(datagram, from)
        } else {
            echo(datagram, from)
        }
    });
    let tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 10 --timeout 4s {more}"
    ));
    for_a_while();
    let ended = tool.stop();
    assert!(done.get() > 10, "{}", ended.report);
    (ended, done.get())
}

#[test]
fn a_server_that_drops_datagrams() {
    let (ended, done) = each_25th("", |_, _| Vec::new());
    ended.has_faults(&[format!("{done} datagrams lost")]);
}

#[test]
fn losses_may_be_allowed_and_are_still_reported() {
    let (ended, done) = each_25th("--allow-lost 100000", |_, _| Vec::new());
    assert_eq!((ended.code, ended.total("datagrams.lost")), (0, done));
}

#[test]
fn a_server_that_repeats_datagrams() {
    let (ended, done) = each_25th("", |datagram, from| {
        [echo(datagram, from), echo(datagram, from)].concat()
    });
    ended.has_faults(&[format!("{done} datagrams duplicated")]);
}

#[test]
fn a_server_that_spoils_datagrams() {
    let (ended, done) = each_25th("", |datagram, from| vec![([datagram, b"!"].concat(), from)]);
    ended.has_faults(&[format!("{done} datagrams wrong")]);
}

#[test]
fn an_answer_that_cannot_be_read_is_a_stray_and_a_loss() {
    let (ended, done) = each_25th("", |_, from| vec![(b"nothing".to_vec(), from)]);
    ended.has_faults(&[
        format!("{done} datagrams lost"),
        format!("{done} datagrams stray"),
    ]);
}

#[test]
fn an_answer_to_another_source_is_a_stray_and_a_loss() {
    let (heard, crossed) = (Count::default(), Count::default());
    let mut last: Option<(Vec<u8>, SocketAddr)> = None;
    let counted = crossed.clone();
    let udp = datagrams::serve(move |datagram, from| {
        let kept = last.replace((datagram.to_vec(), from));
        match kept {
            // This one goes unanswered, and its sender gets what was another's.
            Some((other, sender)) if sender != from && heard.each(25, &counted) => {
                vec![(other, from)]
            }
            _ => echo(datagram, from),
        }
    });
    let tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 10 --timeout 4s"
    ));
    for_a_while();
    let ended = tool.stop();
    let done = crossed.get();
    assert!(done > 10);
    ended.has_faults(&[
        format!("{done} datagrams lost"),
        format!("{done} datagrams stray"),
    ]);
}

#[test]
fn an_answer_that_comes_too_late_is_a_loss() {
    let late = Count::default();
    let counted = late.clone();
    let mut kept: Vec<(std::time::Instant, Vec<u8>, SocketAddr)> = Vec::new();
    let heard = Count::default();
    let udp = datagrams::serve(move |datagram, from| {
        let now = std::time::Instant::now();
        if heard.up() % 200 == 199 && counted.get() + (kept.len() as u64) < 3 {
            kept.push((now, datagram.to_vec(), from));
            return Vec::new();
        }
        let mut answers = echo(datagram, from);
        kept.retain(|(at, datagram, from)| {
            let is_due = at.elapsed() > Duration::from_millis(4000);
            if is_due {
                counted.up();
                answers.extend(echo(datagram, *from));
            }
            !is_due
        });
        answers
    });
    let tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 10 --timeout 3s"
    ));
    for _ in 0..5 {
        for_a_while();
    }
    let ended = tool.stop();
    assert_eq!((ended.total("datagrams.late"), late.get()), (3, 3));
    ended.has_faults(&["3 datagrams lost".to_owned()]);
}

#[test]
fn a_server_that_is_not_there() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = socket.local_addr().unwrap();
    drop(socket);
    let tool = Tool::start(&format!("--udp {udp} --rate 500 --sources 5 --timeout 4s"));
    for_a_while();
    let ended = tool.stop();
    let sent = ended.total("datagrams.sent");
    assert!(sent > 300, "{}", ended.report);
    ended.has_faults(&[
        format!("{sent} datagrams refused"),
        "no datagram was answered as it should".to_owned(),
    ]);
}

/// The tool is stopped while the answers come: its own sockets overflow, which is not the server's
/// fault.
#[test]
fn drops_of_the_own_socket_are_not_blamed_on_the_server() {
    let (release, released) = sync_channel::<()>(1);
    let (heard, answered) = (Count::default(), Count::default());
    let (hearing, answering) = (heard.clone(), answered.clone());
    let (mut kept, mut is_released) = (Answers::new(), false);
    let udp = datagrams::serve(move |datagram, from| {
        hearing.up();
        kept.extend(echo(datagram, from));
        if !is_released && kept.len() < 200 {
            return Vec::new();
        }
        if !is_released {
            // The other end is dropped to release it.
            is_released = released.recv().is_err();
        }
        answering.up();
        std::mem::take(&mut kept)
    });
    let tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 1 --receive-buffer 4096 --timeout 5s"
    ));
    wait(|| heard.get() >= 200);
    tool.signal(Signal::SIGSTOP);
    wait(|| tool.is_stopped());
    drop(release);
    // The second time that the server answers, its first answers are sent.
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    probe.send_to(b"probe", udp).unwrap();
    wait(|| answered.get() > 1);
    tool.signal(Signal::SIGCONT);
    for_a_while();
    let ended = tool.stop();
    ended.adds_up();
    let lost_here = ended.total("datagrams.lost_here");
    assert!(lost_here > 50, "{}", ended.report);
    assert_eq!((ended.code, ended.total("datagrams.lost")), (0, 0));
    let answered = ended.total("datagrams.answered");
    assert_eq!(answered + lost_here, ended.total("datagrams.sent"));
}

fn wait(mut is_there: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !is_there() {
        assert!(std::time::Instant::now() < end, "it did not come");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
