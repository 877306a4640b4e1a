//! Against a good server nothing is wrong, and both sides counted the same.

use std::time::Duration;

use crate::lines::{Count, echo};
use crate::tool::Tool;
use crate::{datagrams, lines};

/// Lets the load do its work for a while.
pub(crate) fn for_a_while() {
    let end = std::time::Instant::now() + Duration::from_millis(1200);
    while let Some(left) = end.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(left);
    }
}

#[test]
fn both_sides_count_the_same() {
    let (clients, pings, sent) = (Count::default(), Count::default(), Count::default());
    let behaviour = {
        let (clients, pings) = (clients.clone(), pings.clone());
        move |request: &lines::Request<'_>| {
            let count = if request.is_ping() { &pings } else { &clients };
            count.up();
            echo(request)
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    lines::serve_unix(&path, behaviour.clone());
    let tcp = lines::serve(behaviour);
    let counted = sent.clone();
    let udp = datagrams::serve(move |datagram, from| {
        counted.up();
        datagrams::echo(datagram, from)
    });
    let unix = path.display();
    let mut tool = Tool::start(&format!(
        "--tcp {tcp} --unix {unix} --udp {udp} --connect 8 --hold 20 --rate 1000 --sources 10"
    ));
    tool.order("ready");
    for_a_while();
    let ended = tool.stop();
    ended.is_clean();
    assert_eq!(ended.total("connects.ok"), clients.get());
    assert_eq!(ended.total("pings.answered"), pings.get());
    assert_eq!(ended.total("datagrams.answered"), sent.get());
    assert_eq!(ended.total("streams.alive"), 20);
    assert!(sent.get() > 500 && pings.get() > 200, "{}", ended.report);
}

#[test]
fn flows_that_are_replaced_lose_nothing() {
    let mut flows = std::collections::HashSet::new();
    let seen = Count::default();
    let count = seen.clone();
    let udp = datagrams::serve(move |datagram, from| {
        flows.insert(from);
        count.set(flows.len() as u64);
        datagrams::echo(datagram, from)
    });
    let tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 10 --flow-life 200ms"
    ));
    for_a_while();
    tool.stop().is_clean();
    assert!(seen.get() > 20, "{} flows", seen.get());
}

#[test]
fn phases_count_by_themselves_and_add_up() {
    let tcp = lines::serve(echo);
    let udp = datagrams::serve(datagrams::echo);
    let mut tool = Tool::start(&format!("--tcp {tcp} --udp {udp}"));
    tool.order("ready");
    tool.order("mark one more");
    for_a_while();
    tool.order("mark end");
    let ended = tool.stop();
    ended.is_clean();
    for number in ["connects.ok", "pings.answered", "datagrams.answered"] {
        let phases = ["start", "one more", "end"].map(|name| ended.phase(name, number));
        assert!(phases[0] > 0 && phases[1] > 0, "{number}: {phases:?}");
        assert_eq!(phases.iter().sum::<u64>(), ended.total(number), "{number}");
    }
}
