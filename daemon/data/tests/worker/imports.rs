//! What new code asks for while it takes a stream or flow over: it gets that with what it takes, or not at all.

use crate::port::UdpPort;
use crate::stage::{Actor, Client, Stage, listener};

/// A client of the first code, after a swap to code whose import says this. It has set a timer to 200 ms.
fn swapped(import: &str) -> (Stage, Actor, Client) {
    let stage = Stage::new(1);
    let (socket, at) = listener();
    let old = stage.actor(&[]);
    let new = stage.actor(&["VERSION=2", &format!("IMPORT={import}")]);
    stage.serve(&[(&socket, &old.service("s"))], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("t\n"), "1 1");
    stage.serve(&[(&socket, &new.service("s"))], &[]);
    (stage, old, client)
}

#[test]
fn import_that_fails_has_no_effects() {
    for asks in [
        "host->close(s, PP_CLOSE_RESET, &(pp_slice){0})",
        "host->close(s, PP_CLOSE_FLUSH, &(pp_slice){0})",
        "host->set_reads(s, 0)",
        "say(s, \"new\\n\", 4)",
        "static char much[1 << 17]; say(s, much, sizeof much)",
        "host->write(s, NULL, 0, PP_WRITE_FIN)",
        "host->timer_cancel(s, 7)",
        "host->timer_set(s, 7, 3600000000000ull, 0)",
        "host->timer_set(s, 8, 1, 0)",
        "pp_dial d = {.struct_size = sizeof d, .kind = PP_DIAL_STREAM, .addr = info->local}; host->dial(s, &d)",
    ] {
        let (_stage, _old, mut client) = swapped(&format!("{asks}; return PP_E_FAIL"));
        assert_eq!(client.ask("a\n"), "1 2", "{asks}");
        assert_eq!(client.line(), "tick", "{asks}");
        assert_eq!(client.ask("a\n"), "1 3", "{asks}");
        client.finish();
        client.end();
    }
}

#[test]
fn import_that_succeeds_has_its_effects_applied() {
    let (stage, old, mut client) =
        swapped("say(s, \"moved\", 5); say(s, \" here\\n\", 6); host->timer_cancel(s, 7)");
    assert_eq!(client.line(), "moved here");
    assert_eq!(client.ask("t\n"), "2 2");
    assert_eq!(client.line(), "tick");
    stage.wait_for(&old.in_use);

    let (stage, old, mut client) =
        swapped("say(s, \"bye\\n\", 4); host->close(s, PP_CLOSE_FLUSH, &(pp_slice){0})");
    assert_eq!(client.line(), "bye");
    client.end();
    stage.wait_for(&old.in_use);
}

#[test]
fn import_output_is_bounded_and_ends_with_fin() {
    let asks = "static char much[4 << 20]; much[0] = 'x'; much[sizeof much - 1] = '\\n'; \
                if (say(s, much, sizeof much) < 0 || say(s, much, 1) != PP_E_FULL) return PP_E_FAIL";
    let (_stage, _old, mut client) = swapped(asks);
    assert!(client.line().starts_with('x'));
    assert_eq!(client.ask("a\n"), "2 2");

    let asks = "if (host->write(s, NULL, 0, PP_WRITE_FIN) < 0 || say(s, \"no\", 2) != PP_E_CLOSING) return PP_E_FAIL";
    let (_stage, _old, mut client) = swapped(asks);
    client.end();
}

#[test]
fn import_dials_belong_to_the_new_code() {
    let (stage, old, mut client) = swapped(
        "pp_dial d = {.struct_size = sizeof d, .kind = PP_DIAL_STREAM, .addr = info->local}; \
         if (host->dial(s, &d) < 0) return PP_E_FAIL",
    );
    assert_eq!(client.line(), "dialled");
    assert_eq!(client.ask("a\n"), "2 2");
    stage.wait_for(&old.in_use);
}

#[test]
fn import_of_a_flow_that_fails_leaves_it_unchanged() {
    for asks in [
        "host->close(id, 0, NULL)",
        "host->timer_set(id, 1, 1, 0)",
        "pp_out out = {.data = {\"new\", 3}, .peer = id}; host->send_datagrams(info->socket, &out, 1, sizeof out)",
    ] {
        let port = UdpPort::new();
        let first = port.actor("stampflows", &["VERSION=1", "MOVES"]);
        let import = format!("IMPORT={asks}; return PP_E_FAIL");
        let second = port.actor("stampflows", &["VERSION=2", "MOVES", &import]);
        port.serve(&first);
        let peer = port.peer();
        assert_eq!(peer.ask("count"), "v1 1");
        port.serve(&second);
        assert_eq!(peer.ask("count"), "v1 2", "{asks}");
        assert_eq!(peer.ask("count"), "v1 3", "{asks}");
    }
}
