//! The example of migration: two versions built from one source.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../examples/tally.rs"]
mod tally;

use polyport_sdk::abi::{PP_E_FAIL, PP_E_UNSUPPORTED, PpHandler, PpId};
use polyport_sdk::handler_table;
use polyport_sdk::testing::{DataResult, Driver};

use tally::Tally;

fn of_version(table: PpHandler) -> Driver {
    Driver::new(table, "{}").unwrap()
}

/// Sends one line; returns the reply.
fn say(driver: &mut Driver, stream: PpId, line: &str) -> String {
    let shown = driver.data(stream, line.as_bytes(), false);
    assert_eq!(usize::try_from(shown.used), Ok(line.len()));
    let written = driver.host(|host| host.written.remove(&stream)).unwrap();
    String::from_utf8(written).unwrap()
}

#[test]
fn migrate_continues_a_session_in_new_code() {
    let mut old = of_version(handler_table!(Tally<1>));
    let mut new = of_version(handler_table!(Tally<2>));
    let stream = old.open_stream().unwrap();
    assert_eq!(say(&mut old, stream, "add 5\n"), "v1 #1 sum 5\n");
    assert_eq!(say(&mut old, stream, "add 7\n"), "v1 #2 sum 12\n");
    // A partial line is not consumed, so it is not part of the state.
    let half = old.data(stream, b"add ", false);
    assert_eq!(half, DataResult { used: 0, want: 5 });
    assert_eq!(old.export_stream(stream).unwrap(), b"2 12");

    let moved = old.migrate_stream(stream, &mut new).unwrap();
    assert_eq!(say(&mut new, moved, "add 4\n"), "v2 #3 sum 16 largest 4\n");
    assert_eq!(new.export_stream(moved).unwrap(), b"3 16 4");
}

#[test]
fn migrate_keeps_state_of_the_same_version() {
    let mut one = of_version(handler_table!(Tally<2>));
    let mut other = of_version(handler_table!(Tally<3>));
    let stream = one.open_stream().unwrap();
    say(&mut one, stream, "add 9\n");
    let moved = one.migrate_stream(stream, &mut other).unwrap();
    assert_eq!(say(&mut other, moved, "what\n"), "v3 #2 sum 9 largest 9\n");
}

#[test]
fn migrate_refused_state_stays() {
    let mut newer = of_version(handler_table!(Tally<2>));
    let mut older = of_version(handler_table!(Tally<1>));
    let stream = newer.open_stream().unwrap();
    say(&mut newer, stream, "add 9\n");
    assert_eq!(
        newer.migrate_stream(stream, &mut older),
        Err(PP_E_UNSUPPORTED)
    );
    assert_eq!(
        say(&mut newer, stream, "add 1\n"),
        "v2 #2 sum 10 largest 9\n"
    );
}

#[test]
fn migrate_refuses_invalid_state() {
    let mut driver = of_version(handler_table!(Tally<2>));
    for (version, state) in [
        (1, "1 2 3"),
        (2, "1 2"),
        (1, ""),
        (2, "a b c"),
        (1, "1 2 x"),
    ] {
        let refused = driver.import_stream(version, state.as_bytes());
        assert_eq!(refused, Err(PP_E_FAIL), "{state:?} of version {version}");
    }
    assert!(driver.import_stream(1, b"-1 -2").is_ok());
}

#[test]
fn stream_ends_with_the_peer() {
    let mut driver = of_version(handler_table!(Tally<1>));
    let stream = driver.open_stream().unwrap();
    driver.data(stream, b"", true);
    assert!(driver.host(|host| host.closed.contains_key(&stream)));
}
