//! Plugins that are loaded into this process.

mod common;

use std::time::Instant;

use common::{Workshop, staged};
use polyport_host::generation::load;
use polyport_host::probe::inert_host;
use polyport_host::refusal::Code;

#[test]
fn loaded_generations_live_side_by_side() {
    let workshop = Workshop::new();
    let host = inert_host();
    let first = load(staged(&workshop.echo()), 1, host).unwrap();
    let again = load(staged(&workshop.echo()), 2, host).unwrap();
    let zoo = load(
        staged(&workshop.zoo("zoo", &["FINI=return PP_E_FAIL"])),
        3,
        host,
    )
    .unwrap();
    assert_eq!(first.digest, again.digest);
    let on_data = |generation: &polyport_host::generation::Generation| {
        generation.handlers[0]
            .stream
            .unwrap()
            .on_data
            .map(|function| function as usize)
    };
    assert_ne!(on_data(&first), on_data(&again));
    assert!(
        first
            .handler("echo")
            .is_some_and(|echo| echo.flow.is_none())
    );
    assert!(first.handler("bird").is_none());
    assert_eq!(first.retire(), Ok(()));
    assert_eq!(zoo.retire().unwrap_err().code(), Code::FiniFailed);
    assert_eq!(zoo.retire(), Ok(()));
}

#[test]
fn f17_init_is_held_to_its_deadline() {
    let workshop = Workshop::new();
    let start = Instant::now();
    let path = workshop.zoo("zoo", &["INIT=forever();return 0"]);
    let refusal = load(staged(&path), 4, inert_host()).unwrap_err();
    assert_eq!(refusal.code(), Code::InitOverran);
    assert!((10..15).contains(&start.elapsed().as_secs()));
}

#[test]
fn f18_a_panic_in_init_is_a_refusal() {
    let workshop = Workshop::new();
    let path = workshop.zoo("zoo", &["INIT=return PP_E_PANIC"]);
    let refusal = load(staged(&path), 5, inert_host()).unwrap_err();
    assert_eq!(refusal.code(), Code::InitPanicked);
}
