//! Some seeds, for who runs the tests only: `cargo xtask sim` runs ten thousand.

use polyport_sim::{Setup, Thread, many};

#[test]
fn sim_some_seeds_violate_nothing() {
    let summary = many::run(0..150, 300, 2, true).unwrap();
    assert_eq!(summary.violations, []);
    assert!(summary.callbacks > 20_000);
}

#[test]
fn sim_a_seed_gives_the_same_trace_again() {
    let mut thread = Thread::new(0).unwrap();
    for seed in 0..10 {
        let setup = Setup {
            seed,
            steps: 300,
            trace: true,
        };
        let (first, second) = (thread.run(setup).unwrap(), thread.run(setup).unwrap());
        assert_eq!(first.lines, second.lines, "seed {seed}");
    }
}
