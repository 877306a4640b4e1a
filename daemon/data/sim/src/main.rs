//! `polyport-sim`: runs the simulation; `cargo xtask sim` builds and starts it.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "a tool that talks to who typed the command"
)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use polyport_sim::{Setup, Thread, many};

/// Random work of all kinds on one worker, against a model.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of a seed before its end.
    #[arg(long, default_value_t = 300)]
    steps: u64,
    /// Run this seed alone, twice, with its trace if it fails.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the trace of `--seed` in any case.
    #[arg(long)]
    trace: bool,
    /// Print the hash of each seed's callbacks, to compare two builds.
    #[arg(long)]
    hashes: bool,
    /// Threads; by default one a processor.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => replay(&arguments, seed),
        None => all(&arguments),
    }
}

/// One seed, twice: the same both times, or the simulation itself is at fault.
fn replay(arguments: &Arguments, seed: u64) -> Result<ExitCode> {
    let mut thread = Thread::new(0)?;
    let setup = Setup {
        seed,
        steps: arguments.steps,
        trace: true,
    };
    let (first, second) = (thread.run(setup)?, thread.run(setup)?);
    if arguments.trace || first.violation.is_some() {
        first.lines.iter().for_each(|line| println!("{line}"));
    }
    println!(
        "seed {seed}: {} callbacks, trace {:016x}",
        first.callbacks, first.hash
    );
    if first.lines != second.lines {
        let mut lines = first.lines.iter().zip(&second.lines);
        let differs = lines.position(|(one, other)| one != other).unwrap_or(0);
        println!(
            "the second run differs from line {differs}: {:?}",
            second.lines.get(differs)
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(match first.violation {
        Some(text) => {
            println!("VIOLATION: {text}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    })
}

fn all(arguments: &Arguments) -> Result<ExitCode> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(processors);
    let begun = Instant::now();
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let summary = many::run(seeds, arguments.steps, threads, false)?;
    if arguments.hashes {
        for (seed, hash) in &summary.hashes {
            println!("{seed} {hash:016x}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", summary.table());
    println!(
        "{} seeds of {} steps, {} callbacks, {:.1} s",
        arguments.seeds,
        arguments.steps,
        summary.callbacks,
        begun.elapsed().as_secs_f64()
    );
    let missing = summary.missing();
    for one in &missing {
        println!("has not happened: {one}");
    }
    for (seed, text) in summary.violations.iter().take(20) {
        println!("seed {seed}: {text}");
    }
    println!("{} violations", summary.violations.len());
    if let Some((seed, _)) = summary.violations.first() {
        println!(
            "replay: cargo xtask sim --steps {} --seed {seed}",
            arguments.steps
        );
    }
    let well = missing.is_empty() && summary.violations.is_empty();
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
