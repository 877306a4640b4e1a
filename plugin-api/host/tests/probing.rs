//! Plugins that misbehave when they run: in a probe child, and while they are loaded here.
//!
//! This file has a `main` of its own, because the probe child is this very executable, as it is the
//! daemon's own executable there.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says by a panic that it failed, and prints its counts"
)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::faults::FAULTS;
use common::{Dice, Workshop};
use polyport_host::generation::load;
use polyport_host::inspect::inspect;
use polyport_host::probe::{ProbeReport, ProbeRequest, Validation, inert_host, probe, probe_child};
use polyport_host::refusal::{Code, Refusal};
use polyport_host::stage::{StageOptions, Staged, stage};

const TESTS: &[(&str, fn())] = &[
    ("a_good_plugin_is_described", a_good_plugin_is_described),
    (
        "findings_come_back_with_their_places",
        findings_come_back_with_their_places,
    ),
    ("each_fault_has_its_code", each_fault_has_its_code),
    (
        "a_hung_plugin_costs_the_deadline_and_no_more",
        a_hung_plugin_costs_the_deadline_and_no_more,
    ),
    ("all_that_is_missing_is_named", all_that_is_missing_is_named),
    (
        "a_child_that_cannot_run_is_no_fault_of_the_plugin",
        a_child_that_cannot_run,
    ),
    (
        "loaded_generations_live_side_by_side",
        loaded_generations_live_side_by_side,
    ),
    ("init_is_held_to_its_deadline", init_is_held_to_its_deadline),
    (
        "a_thousand_damages_harm_nobody",
        a_thousand_damages_harm_nobody,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "probe") {
        return probe_child();
    }
    // A name to look for; flags of the usual harness, and their numbers, mean nothing here.
    let is_name = |word: &&String| word.starts_with(|first: char| first.is_ascii_alphabetic());
    let wanted = arguments.iter().find(is_name);
    let mut failed = false;
    for (name, test) in TESTS {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let start = Instant::now();
        let good = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let word = if good { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.2?})", start.elapsed());
        failed |= !good;
    }
    ExitCode::from(u8::from(failed))
}

fn staged(path: &Path) -> Staged {
    stage(path, &StageOptions::default()).unwrap()
}

fn request() -> ProbeRequest {
    ProbeRequest::new(["probe"])
}

fn try_zoo(name: &str, macros: &[&str]) -> Result<ProbeReport, Refusal> {
    let workshop = Workshop::new();
    probe(&staged(&workshop.zoo(name, macros)), &request())
}

fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| task.unwrap().path().join("children"));
    lists
        .filter_map(|list| std::fs::read_to_string(list).ok())
        .map(|list| list.split_ascii_whitespace().count())
        .sum()
}

fn a_good_plugin_is_described() {
    let report = probe(&staged(&Workshop::new().echo()), &request()).unwrap();
    assert_eq!(report.id, "org.polyport.example.echo");
    let [echo] = &report.handlers[..] else {
        panic!("{report:?}")
    };
    assert_eq!(echo.id, "echo");
    assert!(echo.serves_streams && echo.serves_datagrams);
    let macros = ["INIT=puts(\"printed\");fflush(stdout);say(\"logged\");return PP_S_PENDING"];
    let report = try_zoo("zoo", &macros).unwrap();
    assert_eq!(report.log, ["printed", "info: logged key=value"]);
    let zoo = &report.handlers[0];
    assert_eq!((zoo.state_version, zoo.state_min_version), (3, 2));
    assert_eq!(zoo.schema.as_deref(), Some("{\"type\":\"object\"}"));
    assert_eq!(children(), 0);
}

fn findings_come_back_with_their_places() {
    let workshop = Workshop::new();
    let validate = "VALIDATE=\
        if(json->len==2)return PP_OK;\
        if(json->len==3)return PP_E_PANIC;\
        if(json->len==4)return PP_E_FAIL;\
        find(r,PP_REPORT_ERROR,\"/a/b\",\"wrong\");find(r,PP_REPORT_WARNING,\"\",\"odd\");\
        return PP_E_INVAL";
    let staged = staged(&workshop.zoo("zoo", &[validate]));
    let ask = |handler: Option<&str>, json: &str| Validation {
        handler: handler.map(str::to_owned),
        config_json: json.to_owned(),
    };
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let validations = vec![
        ask(None, "{}"),
        ask(Some("zoo"), "123"),
        ask(Some("zoo"), "1234"),
        ask(Some("zoo"), &large),
        ask(Some("bird"), "{}"),
    ];
    let report = probe(
        &staged,
        &ProbeRequest {
            validations,
            ..request()
        },
    )
    .unwrap();
    let good: Vec<_> = report
        .validations
        .iter()
        .map(|verdict| verdict.is_good())
        .collect();
    assert_eq!(good, [true, false, false, false, false]);
    let texts: Vec<_> = report
        .validations
        .iter()
        .flat_map(|verdict| &verdict.findings)
        .map(|finding| format!("{} {} {}", finding.error, finding.pointer, finding.message))
        .collect();
    assert_eq!(
        texts,
        [
            "true  validate panicked: the handler has a fault",
            "true  validate says -9 and gives no reason",
            "true /a/b wrong",
            "false  odd",
            "true  the plugin has no handler \"bird\", it offers zoo",
        ]
    );
}

fn each_fault_has_its_code() {
    for (number, (macros, code, words)) in FAULTS.iter().enumerate() {
        let refusal = try_zoo(&format!("zoo{number}"), macros).expect_err(macros[0]);
        assert_eq!(refusal.code(), *code, "{macros:?}: {refusal}");
        assert!(refusal.what().contains(words), "{macros:?}: {refusal}");
    }
    println!("{} faults, each with its code", FAULTS.len());
    assert_eq!(children(), 0);
}

fn a_hung_plugin_costs_the_deadline_and_no_more() {
    let workshop = Workshop::new();
    let deadline = Duration::from_millis(300);
    let validations = vec![Validation {
        handler: None,
        config_json: "{}".to_owned(),
    }];
    let cases = [
        ("CTOR=forever()", Code::ConstructorHung),
        (
            "CTOR=if(fork()==0)forever();forever()",
            Code::ConstructorHung,
        ),
        ("INIT=forever();return 0", Code::InitOverran),
        ("INIT=for(;;);return 0", Code::InitOverran),
        ("VALIDATE=forever();return 0", Code::ValidateOverran),
    ];
    for (fault, code) in cases {
        let staged = staged(&workshop.zoo("zoo", &[fault]));
        let start = Instant::now();
        let request = ProbeRequest {
            deadline,
            validations: validations.clone(),
            ..request()
        };
        let refusal = probe(&staged, &request).expect_err(fault);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(
            start.elapsed() < deadline * 5,
            "{fault}: {:?}",
            start.elapsed()
        );
    }
    // Who holds the child's descriptors does not hold up a report that is complete.
    let staged = staged(&workshop.zoo("zoo", &["INIT=if(fork()==0){setsid();sleep(2);}return 0"]));
    let start = Instant::now();
    probe(&staged, &request()).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(children(), 0);
}

fn all_that_is_missing_is_named() {
    let workshop = Workshop::new();
    let source = workshop.room.path().join("gone.c");
    std::fs::write(&source, "int gone;").unwrap();
    let library = workshop.compile(&source, "libgone.so.1", &["-fvisibility=default"]);
    let link = ["-DMISSING", "-Wl,--no-as-needed", library.to_str().unwrap()];
    let path = workshop.zoo_with("zoo", &link);
    std::fs::remove_file(&library).unwrap();
    let refusal = probe(&staged(&path), &request()).unwrap_err();
    assert_eq!(refusal.code(), Code::MissingSymbols, "{refusal}");
    for name in ["libgone.so.1", "zoo_first_missing", "zoo_second_missing"] {
        assert!(refusal.what().contains(name), "{refusal}");
    }
    println!("{refusal}");
}

fn a_child_that_cannot_run() {
    let staged = staged(&Workshop::new().echo());
    for executable in ["/nowhere/polyportd", "/bin/false", "/bin/cat"] {
        let request = ProbeRequest {
            executable: executable.into(),
            ..request()
        };
        let refusal = probe(&staged, &request).unwrap_err();
        assert_eq!(refusal.code(), Code::ProbeFailed, "{refusal}");
    }
}

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

fn init_is_held_to_its_deadline() {
    let workshop = Workshop::new();
    let start = Instant::now();
    let path = workshop.zoo("zoo", &["INIT=forever();return 0"]);
    let refusal = load(staged(&path), 4, inert_host()).unwrap_err();
    assert_eq!(refusal.code(), Code::InitOverran);
    assert!((10..12).contains(&start.elapsed().as_secs()));
    let path = workshop.zoo("zoo", &["INIT=return PP_E_PANIC"]);
    let refusal = load(staged(&path), 5, inert_host()).unwrap_err();
    assert_eq!(refusal.code(), Code::InitPanicked);
}

/// Refused or accepted, never dead, hung or without an answer.
fn a_thousand_damages_harm_nobody() {
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
