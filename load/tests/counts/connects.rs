//! Short connections to servers that fail some of them.

use std::net::TcpListener;
use std::time::Duration;

use crate::good::for_a_while;
use crate::lines::{self, Action, Count, Request, echo};
use crate::tool::{Ended, Tool};

/// Loads a server that does the action to each 25th line.
fn each_25th(action: impl Fn(&Request<'_>) -> Action + Send + Sync + 'static) -> (Ended, u64) {
    let (request, done) = (Count::default(), Count::default());
    let counted = done.clone();
    let tcp = lines::serve(move |line| {
        if request.each(25, &counted) {
            action(line)
        } else {
            echo(line)
        }
    });
    let tool = Tool::start(&format!("--tcp {tcp} --hold 0 --timeout 4s"));
    for_a_while();
    let ended = tool.stop();
    assert!(
        done.get() > 2 && ended.total("connects.ok") > 50,
        "{}",
        ended.report
    );
    (ended, done.get())
}

#[test]
fn a_server_that_closes_before_it_answers() {
    let (ended, done) = each_25th(|_| Action::Close);
    ended.has_faults(&[format!("{done} connects broken")]);
}

#[test]
fn a_server_that_closes_within_its_answer() {
    let (request, done) = (Count::default(), Count::default());
    let counted = done.clone();
    let tcp = lines::serve(move |line| match line.number {
        _ if request.each(25, &counted) => Action::Send(line.text[..9].to_owned()),
        _ => echo(line),
    });
    // The half answer is never completed: the end of the time tells.
    let tool = Tool::start(&format!("--tcp {tcp} --hold 0 --timeout 4s"));
    for_a_while();
    let ended = tool.stop();
    ended.has_faults(&[format!("{} connects timed out", done.get())]);
}

#[test]
fn a_server_that_resets() {
    let (ended, done) = each_25th(|_| Action::Reset);
    ended.has_faults(&[format!("{done} connects reset")]);
}

#[test]
fn a_server_that_does_not_answer() {
    let (ended, done) = each_25th(|_| Action::Ignore);
    ended.has_faults(&[format!("{done} connects timed out")]);
}

#[test]
fn a_server_that_answers_something_else() {
    for wrong in ["x\n", "\n", "v1 "] {
        let (ended, done) = each_25th(move |line| Action::Send(format!("{wrong}{}", line.text)));
        ended.has_faults(&[format!("{done} connects wrong")]);
    }
}

#[test]
fn an_address_where_nobody_listens() {
    // Held, but not listening: nobody else gets the port.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = listener.local_addr().unwrap();
    drop(listener);
    let tool = Tool::start(&format!("--tcp {tcp} --unix /nonexistent/socket"));
    for_a_while();
    let ended = tool.stop();
    let begun = ended.total("connects.begun");
    assert!(
        begun > 50 && ended.total("streams.refused") > 8,
        "{}",
        ended.report
    );
    ended.has_faults(&[
        format!("{begun} connects refused"),
        format!("{} streams refused", ended.total("streams.begun")),
        "no client was answered as it should".to_owned(),
        "no ping was answered as it should".to_owned(),
    ]);
}

/// The control of every claim that a reload loses nothing: the tool must see what a server does
/// that closes its listener and opens it again.
#[test]
fn a_server_that_rebinds_its_listener() {
    let (tcp, rebound) = lines::serve_rebinding(Duration::from_millis(100));
    let tool = Tool::start(&format!("--tcp {tcp} --connect 32 --hold 4"));
    for_a_while();
    let ended = tool.stop();
    ended.adds_up();
    assert!(rebound.get() > 3);
    let number = |name| ended.total(&format!("connects.{name}"));
    assert!(
        number("refused") > 0 && number("ok") > 100,
        "{}",
        ended.report
    );
    for name in ["broken", "wrong", "stale", "future", "failed_here"] {
        assert_eq!(number(name), 0, "{name}: {}", ended.report);
    }
    assert_eq!(ended.code, 1);
}
