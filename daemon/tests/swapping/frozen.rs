//! Instances whose state may live in one place only: once they are frozen and replaced, all that is called of them is
//! the end of what they had.

use crate::holding::Pair;

#[test]
fn streams_of_a_held_instance_go_to_the_next_at_once() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    client.send("b\n");
    let mut new = pair.client();
    new.send("a\n");
    pair.pass();
    let next = pair.stage.actor(&["VERSION=2", "FLAGS=PP_HF_EXCLUSIVE"]);
    pair.serve(&next);
    assert_eq!(client.line(), "2 2");
    assert_eq!(new.line(), "2 1");
    pair.stage.back(&pair.held.in_use);
    pair.stage.release(&pair.held);
    assert_eq!(client.ask("c\n"), "2 3");
}

#[test]
fn an_exclusive_instance_that_is_replaced_keeps_no_stream() {
    let pair = Pair::new(&["FLAGS=PP_HF_EXCLUSIVE"]);
    let mut client = pair.client();
    assert_eq!(client.ask("a\n"), "1 1");
    pair.stage.hold(&pair.held);
    let next = pair.stage.actor(&["VERSION=2", "IMPORT=return PP_E_FAIL"]);
    pair.serve(&next);
    client.end();
    drop(client);
    pair.stage.back(&pair.held.in_use);
    assert_eq!(pair.client().ask("a\n"), "2 1");
}
