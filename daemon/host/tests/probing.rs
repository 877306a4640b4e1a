//! Plugins that misbehave when they run, met by a probe child.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test says by a panic that it failed"
)]

mod common;

use std::time::{Duration, Instant};

use common::faults::{self, Fault};
use common::{Workshop, children, request, staged};
use polyport_host::load_error::{ErrorCode, LoadError};
use polyport_host::probe::{ProbeReport, ProbeRequest, Validation, probe};

fn try_zoo(name: &str, macros: &[&str]) -> Result<ProbeReport, LoadError> {
    let workshop = Workshop::new();
    probe(&staged(&workshop.zoo(name, macros)), &request())
}

#[test]
fn probe_reports_a_good_plugin() {
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

#[test]
fn probe_returns_findings_with_their_places() {
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

fn each_has_its_code(faults: &[Fault]) {
    for (number, (macros, code, words)) in faults.iter().enumerate() {
        let error = try_zoo(&format!("zoo{number}"), macros).expect_err(macros[0]);
        assert_eq!(error.code(), *code, "{macros:?}: {error}");
        assert!(error.what().contains(words), "{macros:?}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    assert_eq!(children(), 0);
}

/// The child cannot say anything any more. Whether it ends first or is ended is a race; it is refused either way.
#[test]
fn f16_a_constructor_that_closes_all_descriptors_is_refused() {
    let macros = ["CTOR=for(int i=0;i<99;i++)close(i)"];
    let error = try_zoo("closer", &macros).expect_err("it says nothing");
    assert!(
        matches!(
            error.code(),
            ErrorCode::ConstructorCrashed | ErrorCode::Exited
        ),
        "{error}"
    );
    assert_eq!(children(), 0);
}

#[test]
fn f10_tables_that_break_the_contract_are_refused() {
    each_has_its_code(faults::TABLES);
}

#[test]
fn f16_constructors_that_end_the_process_are_refused() {
    each_has_its_code(faults::CONSTRUCTORS);
}

#[test]
fn f18_an_init_that_fails_is_refused() {
    each_has_its_code(faults::INITS);
}

/// Probes with a short deadline: the refusal has this code and did not take much longer.
fn overruns(fault: &str, code: ErrorCode) {
    let staged = staged(&Workshop::new().zoo("zoo", &[fault]));
    let deadline = Duration::from_secs(1);
    let validation = Validation {
        handler: None,
        config_json: "{}".to_owned(),
    };
    let request = ProbeRequest {
        deadline,
        validations: vec![validation],
        ..request()
    };
    let start = Instant::now();
    let error = probe(&staged, &request).expect_err(fault);
    assert_eq!(error.code(), code, "{error}");
    assert!(start.elapsed() < deadline * 5, "{:?}", start.elapsed());
    assert_eq!(children(), 0);
}

#[test]
fn f16_a_constructor_that_hangs_costs_the_deadline_and_no_more() {
    overruns("CTOR=forever()", ErrorCode::ConstructorHung);
    let with_offspring = "CTOR=if(fork()==0)forever();forever()";
    overruns(with_offspring, ErrorCode::ConstructorHung);
}

#[test]
fn f17_an_init_that_hangs_costs_the_deadline_and_no_more() {
    overruns("INIT=forever();return 0", ErrorCode::InitOverran);
    overruns("INIT=for(;;);return 0", ErrorCode::InitOverran);
}

#[test]
fn probe_ends_a_hanging_validate_at_its_deadline() {
    overruns("VALIDATE=forever();return 0", ErrorCode::ValidateOverran);
}

#[test]
fn probe_is_not_held_up_by_a_process_with_the_childs_descriptors() {
    let fault = "INIT=if(fork()==0){setsid();sleep(30);}return 0";
    let staged = staged(&Workshop::new().zoo("zoo", &[fault]));
    let start = Instant::now();
    probe(&staged, &request()).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(children(), 0);
}

#[test]
fn probe_unblocks_the_signals_that_the_daemon_blocks() {
    let constructor = "CTOR=sigset_t set;sigprocmask(SIG_BLOCK,0,&set);int blocked=0;\
        for(int i=1;i<32;i++)blocked+=sigismember(&set,i);\
        printf(\"%d signals are blocked\",blocked);fflush(stdout)";
    let staged = staged(&Workshop::new().zoo("zoo", &[constructor]));
    // A thread of its own keeps the mask from other tests.
    let probing = std::thread::spawn(move || {
        polyport_sys::signals::block_all().unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(!status.contains("SigBlk:\t0000000000000000"), "{status}");
        probe(&staged, &request()).unwrap()
    });
    let report = probing.join().unwrap();
    assert_eq!(report.log, ["0 signals are blocked"]);
}

#[test]
fn f09_all_that_is_missing_is_named() {
    let workshop = Workshop::new();
    let source = workshop.room.path().join("gone.c");
    std::fs::write(&source, "int gone;").unwrap();
    let library = workshop.compile(&source, "libgone.so.1", &["-fvisibility=default"]);
    let link = ["-DMISSING", "-Wl,--no-as-needed", library.to_str().unwrap()];
    let path = workshop.zoo_with("zoo", &link);
    std::fs::remove_file(&library).unwrap();
    let error = probe(&staged(&path), &request()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::MissingSymbols, "{error}");
    for name in ["libgone.so.1", "zoo_first_missing", "zoo_second_missing"] {
        assert!(error.what().contains(name), "{error}");
    }
    println!("{error}");
}

#[test]
fn probe_blames_no_plugin_for_a_child_that_cannot_run() {
    let staged = staged(&Workshop::new().echo());
    for executable in ["/nowhere/polyportd", "/bin/false", "/bin/cat"] {
        let request = ProbeRequest {
            executable: executable.into(),
            ..request()
        };
        let error = probe(&staged, &request).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProbeFailed, "{error}");
    }
}
