//! Plugins that are loaded into a process: this one, or one that nobody needs when they hang.

mod common;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{Workshop, said_by, staged};
use polyport_host::generation::load;
use polyport_host::load_error::ErrorCode;
use polyport_host::probe::inert_host;
use polyport_host::services::host_table;

#[test]
fn load_keeps_generations_side_by_side() {
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
    assert_eq!(zoo.retire().unwrap_err().code(), ErrorCode::FiniFailed);
    assert_eq!(zoo.retire(), Ok(()));
}

#[test]
fn f17_init_is_held_to_its_deadline() {
    let workshop = Workshop::new();
    let start = Instant::now();
    let path = workshop.zoo("zoo", &["INIT=forever();return 0"]);
    let error = load(staged(&path), 4, inert_host()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InitOverran);
    assert!((10..30).contains(&start.elapsed().as_secs()));
}

/// What the loader says of each file, and how long it took; it must not have died.
fn loads(files: &[OsString]) -> (Vec<String>, Duration) {
    let start = Instant::now();
    let said = said_by("load", files);
    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("alive"), "{said}");
    (lines, start.elapsed())
}

#[test]
fn f16_a_constructor_that_hangs_has_the_same_deadline_and_blocks_no_later_load() {
    let workshop = Workshop::new();
    let hangs = workshop.zoo("hangs", &["CTOR=forever()"]);
    let good = workshop.zoo("good", &[]);
    let (lines, time) = loads(&[hangs.into(), good.into()]);
    let [hung, refused] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(hung.starts_with("constructor-hung: "), "{hung}");
    assert!(refused.starts_with("left-behind: "), "{refused}");
    assert!(
        refused.contains("plugin hangs has not returned"),
        "{refused}"
    );
    assert!((10..18).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn f16_an_entry_that_hangs_has_the_same_deadline() {
    let workshop = Workshop::new();
    let hangs = workshop.zoo("hangs", &["RETURN=forever();return 0"]);
    let good = workshop.zoo("good", &[]);
    let (lines, time) = loads(&[hangs.into(), good.clone().into()]);
    assert!(lines[0].starts_with("constructor-hung: "), "{lines:?}");
    assert_eq!(lines[1], format!("{}: loaded", good.display()));
    assert!((10..18).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn f17_three_threads_may_be_left_behind_and_no_more() {
    let workshop = Workshop::new();
    let hang = |name: &str| workshop.zoo(name, &["INIT=forever();return 0"]);
    let good = workshop.zoo("good", &[]);
    let join = |files: &[PathBuf]| {
        let files: Vec<_> = files.iter().map(|file| file.as_os_str()).collect();
        files.join(OsStr::new("+"))
    };
    let two = join(&[hang("a"), hang("b")]);
    let (lines, time) = loads(&[
        two,
        good.clone().into(),
        hang("c").into(),
        good.clone().into(),
    ]);
    let [a, b, loaded, c, refused] = &lines[..] else {
        panic!("{lines:?}")
    };
    for late in [a, b, c] {
        assert!(late.starts_with("init-overran: "), "{late}");
    }
    assert_eq!(*loaded, format!("{}: loaded", good.display()));
    assert!(refused.starts_with("left-behind: "), "{refused}");
    assert!(refused.contains("3 threads are left behind"), "{refused}");
    assert!((20..30).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn load_puts_the_name_of_the_plugin_into_lines_of_init_and_fini() {
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Log;
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    tracing_subscriber::fmt().with_writer(|| Log).init();
    let macros = ["INIT=say(\"here\");return 0", "FINI=say(\"gone\");return 0"];
    let workshop = Workshop::new();
    let path = workshop.zoo("talker", &macros);
    let generation = load(staged(&path), 6, host_table()).unwrap();
    generation.retire().unwrap();
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    for word in ["here", "gone"] {
        let line = log.lines().find(|line| line.contains(word)).unwrap();
        assert!(line.contains("plugin=\"talker\""), "{line}");
    }
}

#[test]
fn f18_a_panic_in_init_is_a_refusal() {
    let workshop = Workshop::new();
    let path = workshop.zoo("zoo", &["INIT=return PP_E_PANIC"]);
    let error = load(staged(&path), 5, inert_host()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InitPanicked);
}
