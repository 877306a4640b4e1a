//! From a path to a sealed copy, with files that are not what they seem.

mod common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Workshop;
use polyport_host::digest::Digest;
use polyport_host::load_error::ErrorCode;
use polyport_host::stage::{StageOptions, Staged, stage};

fn plain(path: &Path) -> Result<Staged, polyport_host::load_error::LoadError> {
    stage(path, &StageOptions::default())
}

#[test]
fn f12_the_copy_is_the_file_and_stays_it() {
    let workshop = Workshop::new();
    let path = workshop.echo();
    let bytes = std::fs::read(&path).unwrap();
    let staged = plain(&path).unwrap();
    assert_eq!(
        (staged.name.as_str(), staged.digest),
        ("echo", Digest::of(&bytes))
    );
    std::fs::write(&path, "overwritten").unwrap();
    assert_eq!(std::fs::read(staged.file.path()).unwrap(), bytes);
    assert!(
        std::fs::OpenOptions::new()
            .append(true)
            .open(staged.file.path())
            .map_or(true, |file| { (&file).write_all(b"x").is_err() })
    );
}

#[test]
fn stage_refuses_at_once_what_is_no_file() {
    let workshop = Workshop::new();
    let room = workshop.room.path();
    let fifo = room.join("fifo.so");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let start = Instant::now();
    for (path, code) in [
        (fifo.as_path(), ErrorCode::Unreadable),
        (room, ErrorCode::Unreadable),
        (Path::new("/dev/zero"), ErrorCode::Unreadable),
        (&room.join("absent.so"), ErrorCode::NotFound),
    ] {
        let error = plain(path).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(
            error.to_string().starts_with(&path.display().to_string()),
            "{error}"
        );
    }
    let huge = room.join("huge.so");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(257 << 20)
        .unwrap();
    assert_eq!(plain(&huge).unwrap_err().code(), ErrorCode::TooLarge);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn f14_a_file_on_its_way_is_waited_for() {
    let workshop = Workshop::new();
    let bytes = std::fs::read(workshop.echo()).unwrap();
    let path = workshop.room.path().join("slow.so");
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    std::fs::write(&path, half).unwrap();
    let stager = {
        let path = path.clone();
        std::thread::spawn(move || plain(&path))
    };
    std::thread::park_timeout(Duration::from_millis(150));
    std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(rest)
        .unwrap();
    assert_eq!(stager.join().unwrap().unwrap().digest, Digest::of(&bytes));
}

#[test]
fn f14_a_file_that_grows_for_ever_is_unstable_and_a_cut_one_truncated() {
    let workshop = Workshop::new();
    let bytes = std::fs::read(workshop.echo()).unwrap();
    let path = workshop.room.path().join("cut.so");
    std::fs::write(&path, &bytes[..5000]).unwrap();
    assert_eq!(plain(&path).unwrap_err().code(), ErrorCode::Truncated);
    let stager = {
        let path = path.clone();
        std::thread::spawn(move || plain(&path).map(|staged| staged.digest))
    };
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    let mut sent = 5000;
    while !stager.is_finished() && sent < bytes.len() - 1 {
        file.write_all(&bytes[sent..=sent]).unwrap();
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(
        stager.join().unwrap().unwrap_err().code(),
        ErrorCode::Unstable
    );
}

#[test]
fn f11_a_file_that_others_can_write_is_refused_when_asked() {
    let workshop = Workshop::new();
    let path = workshop.echo();
    let checked = StageOptions {
        check_ownership: true,
    };
    stage(&path, &checked).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    plain(&path).unwrap();
    let error = stage(&path, &checked).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsafeOwner);
    println!("{error}");
}
