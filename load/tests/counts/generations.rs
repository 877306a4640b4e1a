//! Servers whose code changes while they serve: well, and in each of the wrong ways.

use std::collections::HashMap;

use crate::datagrams;
use crate::good::for_a_while;
use crate::lines::{self, Action, Count, Request};
use crate::tool::{Ended, Tool};

fn stamped(label: u64, request: &Request<'_>) -> Action {
    Action::Send(format!("v{label} {}", request.text))
}

/// Answers all by `right`, but each 25th by `wrong`; what must be told, and how often.
fn each_25th(right: u64, wrong: u64, arguments: &str) -> (Ended, [u64; 3]) {
    let heard = [(); 3].map(|()| Count::default());
    let done = [(); 3].map(|()| Count::default());
    let (asking, counting) = (heard.clone(), done.clone());
    let tcp = lines::serve(move |request| {
        let kind = usize::from(request.is_ping());
        let is_wrong = asking[kind].each(25, &counting[kind]);
        stamped(if is_wrong { wrong } else { right }, request)
    });
    let (asking, counting) = (heard[2].clone(), done[2].clone());
    let udp = datagrams::serve(move |datagram, from| {
        let is_wrong = asking.each(25, &counting);
        datagrams::stamp(if is_wrong { wrong } else { right }, datagram, from)
    });
    let tool = Tool::start_told(
        &format!("--tcp {tcp} --udp {udp} --rate 500 --ping-every 20ms --reply stamp {arguments}"),
        &["generation 1", "generation 2"],
    );
    for_a_while();
    let ended = tool.stop();
    let done = done.map(|count| count.get());
    assert!(done.iter().all(|count| *count > 2), "{done:?}");
    (ended, done)
}

#[test]
fn swaps_that_are_announced_are_clean() {
    let label = Count::default();
    label.set(1);
    let (by_line, by_datagram) = (label.clone(), label.clone());
    let tcp = lines::serve(move |request| stamped(by_line.get(), request));
    let udp =
        datagrams::serve(move |datagram, from| datagrams::stamp(by_datagram.get(), datagram, from));
    let mut tool = Tool::start(&format!(
        "--tcp {tcp} --udp {udp} --rate 1000 --ping-every 5ms --reply stamp --streams exact"
    ));
    tool.order("generation 1");
    tool.order("ready");
    for next in 2..=50 {
        // A rollback is a swap as any other.
        let next = if next % 10 == 0 { next - 2 } else { next };
        tool.order(&format!("announce {next}"));
        label.set(next);
        tool.order(&format!("generation {next}"));
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    tool.stop().is_clean();
}

#[test]
fn answers_of_older_code_are_stale() {
    let (ended, [connects, pings, datagrams]) = each_25th(2, 1, "--streams exact");
    ended.has_faults(&[
        format!("{connects} connects stale"),
        format!("{pings} pings stale"),
        format!("{datagrams} datagrams stale"),
    ]);
}

#[test]
fn answers_of_unannounced_code_are_future() {
    let (ended, [connects, pings, datagrams]) = each_25th(2, 3, "--streams exact");
    ended.has_faults(&[
        format!("{connects} connects future"),
        format!("{pings} pings future"),
        format!("{datagrams} datagrams future"),
    ]);
}

#[test]
fn answers_of_a_dead_plugin_without_a_stamp_are_wrong() {
    let tcp = lines::serve(lines::echo);
    let tool = Tool::start(&format!("--tcp {tcp} --connect 4 --hold 4 --reply stamp"));
    for_a_while();
    let ended = tool.stop();
    assert!(ended.total("connects.wrong") > 10 && ended.total("pings.wrong") > 10);
    assert_eq!(
        (ended.total("connects.ok"), ended.total("pings.answered")),
        (0, 0)
    );
    assert_eq!(ended.code, 1);
}

/// The 25th answer is never the first of a stream: it comes after others were given.
#[test]
fn a_stream_or_flow_that_goes_back_has_regressed() {
    let back = [(); 2].map(|()| Count::default());
    let counting = back.clone();
    let tcp = lines::serve(move |request| {
        let is_back = request.number % 10 == 9;
        if is_back {
            counting[0].up();
        }
        stamped(if is_back { 1 } else { 2 }, request)
    });
    let counting = back[1].clone();
    let mut flows: HashMap<_, u64> = HashMap::new();
    let udp = datagrams::serve(move |datagram, from| {
        let number = flows.entry(from).or_default();
        *number += 1;
        let is_back = *number % 10 == 0;
        if is_back {
            counting.up();
        }
        datagrams::stamp(if is_back { 1 } else { 2 }, datagram, from)
    });
    let tool = Tool::start_told(
        &format!("--tcp {tcp} --udp {udp} --connect 0 --rate 500 --reply stamp --flows ordered"),
        &["generation 1", "generation 2"],
    );
    for_a_while();
    let ended = tool.stop();
    ended.has_faults(&[
        format!("{} pings regressed", back[0].get()),
        format!("{} datagrams regressed", back[1].get()),
    ]);
    assert!(back.iter().all(|count| count.get() > 2));
}

/// Flows keep the code that they began with, and new ones begin with the new.
struct Flows {
    by_peer: HashMap<std::net::SocketAddr, u64>,
    label: Count,
}

impl Flows {
    fn label(&mut self, from: std::net::SocketAddr) -> u64 {
        let label = self.label.get();
        *self.by_peer.entry(from).or_insert(label)
    }
}

fn swapped_under_flows(strays: u64) -> (Ended, u64) {
    let (label, heard, done) = (Count::default(), Count::default(), Count::default());
    label.set(1);
    let mut flows = Flows {
        by_peer: HashMap::new(),
        label: label.clone(),
    };
    let counting = done.clone();
    let udp = datagrams::serve(move |datagram, from| {
        let is_new = !flows.by_peer.contains_key(&from);
        let own = flows.label(from);
        let is_stray = strays > 0 && !is_new && heard.each(strays, &counting);
        datagrams::stamp(own + u64::from(is_stray), datagram, from)
    });
    let mut tool = Tool::start(&format!(
        "--udp {udp} --rate 1000 --sources 10 --flow-life 300ms --reply stamp --flows pinned"
    ));
    tool.order("generation 1");
    for next in 2..6 {
        for_a_while();
        tool.order(&format!("announce {next}"));
        label.set(next);
        tool.order(&format!("generation {next}"));
    }
    for_a_while();
    (tool.stop(), done.get())
}

#[test]
fn pinned_flows_stay_and_new_ones_begin_with_the_new_code() {
    let (ended, _) = swapped_under_flows(0);
    ended.is_clean();
}

#[test]
fn a_pinned_flow_that_is_answered_by_other_code_has_moved() {
    let (ended, done) = swapped_under_flows(25);
    assert!(done > 10);
    ended.has_faults(&[format!("{done} datagrams moved")]);
}

#[test]
fn a_new_flow_that_begins_with_old_code_is_stale() {
    let udp = datagrams::serve(|datagram, from| datagrams::stamp(1, datagram, from));
    let tool = Tool::start_told(
        &format!("--udp {udp} --rate 500 --sources 5 --reply stamp --flows pinned"),
        &["generation 1", "generation 2"],
    );
    for_a_while();
    let ended = tool.stop();
    // The first answer of each flow is judged, and pins it.
    ended.has_faults(&["5 datagrams stale".to_owned()]);
}
