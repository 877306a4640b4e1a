//! The command itself: its orders, its ends and its exit codes.

use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::lines;
use crate::tool::{Tool, command};

#[test]
fn an_order_that_is_not_known_is_refused_and_the_run_goes_on() {
    let tcp = lines::serve(lines::echo);
    let mut tool = Tool::start(&format!("--tcp {tcp}"));
    tool.say("generation next");
    let said = tool.line();
    assert!(said.starts_with("error generation next: "), "{said}");
    tool.order("ready");
    tool.stop().is_clean();
}

#[test]
fn ready_asks_anew_each_time() {
    let is_mute = lines::Count::default();
    let request = is_mute.clone();
    let tcp = lines::serve(move |line| match request.get() {
        0 => lines::echo(line),
        _ => lines::Action::Ignore,
    });
    let mut tool = Tool::start(&format!("--tcp {tcp} --timeout 300ms"));
    tool.order("ready");
    is_mute.set(1);
    // What was answered before may be on its way still; the next time it is not.
    tool.say("ready");
    tool.line();
    tool.say("ready");
    let said = tool.line();
    assert!(said.starts_with("error ready: "), "{said}");
}

#[test]
fn ready_names_the_unanswered() {
    let tcp = lines::serve(|_| lines::Action::Ignore);
    let mut tool = Tool::start(&format!("--tcp {tcp} --connect 2 --hold 3 --timeout 300ms"));
    tool.say("ready");
    let said = tool.line();
    assert!(said.starts_with("error ready: "), "{said}");
    assert!(said.ends_with("2 clients, 3 streams, 0 sources"), "{said}");
    assert_eq!(tool.stop().code, 1);
}

#[test]
fn the_end_of_the_control_lines_and_signals_end_a_run_with_its_report() {
    let tcp = lines::serve(lines::echo);
    let arguments = format!("--tcp {tcp}");
    let mut tool = Tool::start(&arguments);
    tool.order("ready");
    tool.close().is_clean();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut tool = Tool::start(&arguments);
        tool.order("ready");
        tool.signal(signal);
        tool.end().is_clean();
    }
}

#[test]
fn a_run_ends_by_its_time_and_prints_a_report_for_people() {
    let tcp = lines::serve(lines::echo);
    let output = command(&format!("--tcp {tcp} --for 500ms"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.ends_with("clean\n") && text.contains(" 8 alive"),
        "{text}"
    );
}

#[test]
fn a_run_that_is_impossible_ends_with_2() {
    for arguments in [
        "",
        "--tcp 127.0.0.1:1",
        "--tcp nowhere --for 1s",
        "--tcp 127.0.0.1:1 --hold 0 --connect 0 --for 1s",
        "--tcp 127.0.0.1:1 --hold 4000000000 --for 1s",
        "--tcp 127.0.0.1:1 --until-stdin-closes",
    ] {
        let output = command(arguments).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {text}");
        assert!(!text.is_empty(), "{arguments}");
    }
}

#[test]
fn a_run_that_measured_nothing_is_not_clean() {
    let tcp = lines::serve(lines::echo);
    // The orders are read before anything begins.
    let tool = Tool::start_told(&format!("--tcp {tcp}"), &["stop"]);
    let ended = tool.end();
    assert_eq!(ended.total("connects.begun"), 0);
    ended.has_faults(&[
        "no client was answered as it should".to_owned(),
        "no ping was answered as it should".to_owned(),
    ]);
}

#[test]
fn the_help_names_control_lines_and_exit_codes() {
    let output = command("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "announce N",
        "generation N",
        "Exit code",
        "--until-stdin-closes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
