//! Files that were damaged on their way.

mod common;

use std::time::Duration;

use common::{Dice, Workshop, children, request, staged};
use polyport_host::inspect::inspect;
use polyport_host::probe::{ProbeRequest, probe};
use polyport_host::refusal::Refusal;

/// Refused or accepted, never dead, hung or without an answer.
#[test]
fn f07_a_thousand_damages_harm_nobody() {
    let workshop = Workshop::new();
    let good = std::fs::read(workshop.echo()).unwrap();
    let path = workshop.room.path().join("damaged.so");
    let mut dice = Dice::new(1);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let request = ProbeRequest {
        deadline: Duration::from_secs(2),
        ..request()
    };
    for _ in 0..1000 {
        let bytes = dice.damage(&good);
        // First without the file: staging is patient with a file whose end is missing.
        let outcome = inspect(&bytes)
            .map_err(|refusal| format!("before it ran: {}", refusal.code()))
            .and_then(|_| {
                std::fs::write(&path, &bytes).unwrap();
                let refused = |refusal: Refusal| format!("in the child: {}", refusal.code());
                probe(&staged(&path), &request).map_err(refused)
            });
        *counts
            .entry(outcome.map_or_else(|code| code, |_| "accepted".to_owned()))
            .or_default() += 1;
    }
    for (outcome, count) in &counts {
        println!("{count:5} {outcome}");
    }
    assert_eq!(counts.values().sum::<usize>(), 1000);
    assert_eq!(children(), 0);
}
