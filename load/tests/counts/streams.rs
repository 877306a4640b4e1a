//! Long-lived streams to servers that break them, or do not answer as they should.

use crate::good::for_a_while;
use crate::lines::{self, Action, Count, echo};
use crate::tool::{Ended, Tool};

/// Loads a server that does the action to each seventh ping of a stream.
fn each_seventh(action: fn(&str) -> Action) -> (Ended, u64) {
    let done = Count::default();
    let counted = done.clone();
    let tcp = lines::serve(move |line| {
        if line.number % 7 == 6 {
            counted.up();
            action(line.text)
        } else {
            echo(line)
        }
    });
    let tool = Tool::start(&format!(
        "--tcp {tcp} --connect 0 --hold 10 --ping-every 20ms --timeout 4s"
    ));
    for_a_while();
    let ended = tool.stop();
    assert!(done.get() > 10, "{}", ended.report);
    (ended, done.get())
}

/// Each breach took one ping with it at least: the one that was not answered.
#[track_caller]
fn expect_breaks(ended: &Ended, done: u64, reason: &str) {
    ended.adds_up();
    assert_eq!(ended.total("streams.broken"), done);
    assert!(ended.total("pings.unanswered") >= done, "{}", ended.report);
    for number in ["pings.wrong", "pings.surplus", "streams.refused"] {
        assert_eq!(ended.total(number), 0, "{number}: {}", ended.report);
    }
    let breaks = ended.report["breaks"].as_array().unwrap();
    assert_eq!(breaks.len() as u64, done.min(100));
    assert!(
        breaks.iter().all(|each| each["reason"] == reason),
        "{breaks:?}"
    );
    assert_eq!(ended.code, 1);
}

#[test]
fn a_server_that_closes_streams() {
    let (ended, done) = each_seventh(|_| Action::Close);
    expect_breaks(&ended, done, "closed by the server");
}

#[test]
fn a_server_that_resets_streams() {
    let (ended, done) = each_seventh(|_| Action::Reset);
    expect_breaks(&ended, done, "reset");
}

#[test]
fn a_server_that_forgets_a_ping() {
    let (ended, done) = each_seventh(|_| Action::Ignore);
    ended.has_faults(&[format!("{done} pings unanswered")]);
}

#[test]
fn a_server_that_answers_a_ping_wrongly() {
    let (ended, done) = each_seventh(|text| Action::Send(format!("x{text}")));
    ended.has_faults(&[format!("{done} pings wrong")]);
    let (ended, done) = each_seventh(|_| Action::Send("nothing\n".to_owned()));
    ended.has_faults(&[format!("{done} pings wrong")]);
}

#[test]
fn a_server_that_answers_a_ping_twice() {
    let (ended, done) = each_seventh(|text| Action::Send(text.repeat(2)));
    ended.has_faults(&[format!("{done} pings surplus")]);
}
