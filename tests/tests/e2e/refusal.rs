//! Faults 7 to 11, 14 and 15: files that cannot be plugins, each refused with one line that names the reason.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use polyport_e2e::damage::{self, Dice, ELF_CLASS, ELF_MACHINE, MACHINE_S390};
use polyport_e2e::{Builder, Daemon, Finished, SOON, TestPlugin, binaries, client, events, wait};
use tempfile::TempDir;

fn with(plugin: &Path) -> Builder {
    Daemon::builder()
        .plugin("bad", plugin)
        .service("bad", "tcp://127.0.0.1:0", "bad")
}

/// The configuration that names this plugin is refused, in one line that names the file.
#[track_caller]
fn refused(plugin: &Path) -> Finished {
    let finished = with(plugin).check();
    finished.exits(events::EXIT_CONFIG);
    assert_eq!(
        finished.faults().len(),
        1,
        "one line for one fault:\n{}",
        finished.text
    );
    finished.prints(&plugin.file_name().unwrap().to_string_lossy());
    finished
}

fn put(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn f07_a_file_that_is_no_elf_file_is_refused() {
    let dir = TempDir::new().unwrap();
    refused(&put(&dir, "script.so", b"#!/bin/sh\necho no plugin\n")).prints("not an ELF");
    refused(&put(&dir, "empty.so", b"")).prints_one_of(&["0 bytes", "is empty"]);
    refused(&put(&dir, "zeros.so", &[0; 4096]));
    fs::create_dir(dir.path().join("folder.so")).unwrap();
    refused(&dir.path().join("folder.so")).prints_one_of(&["regular file", "directory", "folder"]);
    refused(&dir.path().join("nowhere.so")).prints_one_of(&[
        "no such",
        "not found",
        "does not exist",
    ]);
}

#[test]
fn f07_a_file_cut_short_at_any_length_is_refused() {
    let dir = TempDir::new().unwrap();
    let whole = fs::read(TestPlugin::file("plain")).unwrap();
    for length in damage::lengths(whole.len(), 12) {
        refused(&put(&dir, "short.so", &whole[..length]));
    }
}

#[test]
fn f07_damaged_files_never_disturb_a_daemon_that_serves() {
    const COPIES: u64 = 60;
    let library = TempDir::new().unwrap();
    let path = put(
        &library,
        "libpolyport_plain.so",
        &fs::read(TestPlugin::file("plain")).unwrap(),
    );
    // Without the hash of its bytes, a flipped bit in the code of a callback goes undetected.
    let seal = Command::new(binaries::polyportd())
        .arg("seal")
        .arg(&path)
        .status();
    assert!(seal.unwrap().success());
    let whole = fs::read(&path).unwrap();
    let daemon = with(&path).service("other", "tcp://127.0.0.1:0", "bad");
    let mut daemon = daemon
        .allow_error("libpolyport_plain.so")
        .allow_error("configuration is bad")
        .allow_error(events::RELOAD_FAILED)
        .start();
    let address = daemon.tcp("bad");
    let mut stream = client::tcp(address);
    let mut refusals = 0;
    for seed in 0..COPIES {
        let half = put(
            &library,
            "half",
            &damage::changed(&whole, &mut Dice::new(seed)),
        );
        fs::rename(half, &path).unwrap();
        let verdict = daemon.hang_up("a verdict", events::is_reload_verdict);
        refusals += u32::from(events::is_bad_verdict(&verdict));
        client::expect_echo(&mut stream, b"still served\n");
        assert!(
            client::echoes(address, b"and so are others\n"),
            "copy {seed}"
        );
        assert!(daemon.is_alive(), "copy {seed}");
    }
    assert_eq!(u64::from(refusals), COPIES);
    drop(stream);
    daemon.stop();
}

#[test]
fn f08_another_machine_is_named_beside_ours() {
    let dir = TempDir::new().unwrap();
    let mut file = fs::read(TestPlugin::file("plain")).unwrap();
    file[ELF_MACHINE] = MACHINE_S390;
    refused(&put(&dir, "mainframe.so", &file))
        .prints("s390")
        .prints_one_of(&["x86_64", "x86-64", "aarch64"]);
    let mut file = fs::read(TestPlugin::file("plain")).unwrap();
    file[ELF_CLASS] = 1;
    refused(&put(&dir, "narrow.so", &file)).prints("32");
}

#[test]
fn f08_a_program_is_no_plugin() {
    refused(Path::new("/bin/true"));
}

#[test]
fn f09_a_missing_note_or_entry_is_reported() {
    refused(&TestPlugin::file("no_note")).prints("note");
    refused(&TestPlugin::file("no_entry")).prints("polyport_plugin_v1");
}

#[test]
fn f09_every_missing_symbol_is_listed() {
    let finished = refused(&TestPlugin::file("missing_symbol"));
    finished.prints("test_is_not_there_either");
    assert!(
        finished
            .text
            .replace("test_is_not_there_either", "")
            .contains("test_is_not_there"),
        "{}",
        finished.text
    );
}

#[test]
fn f09_a_missing_library_is_named() {
    // The linker finds it by its path; the loader looks for another name.
    let library = TestPlugin::new("needed")
        .flag("-Wl,-soname,libtest_needed.so.1")
        .build();
    let plugin = TestPlugin::new("needs")
        .flag(library.display().to_string())
        .build();
    refused(&plugin).prints("libtest_needed.so.1");
}

#[test]
fn f10_other_major_versions_are_refused_before_any_code_runs() {
    refused(&TestPlugin::file("abi_too_new"))
        .prints("2")
        .prints_one_of(&["update this daemon", "newer", "later"]);
    refused(&TestPlugin::file("abi_too_old")).prints_one_of(&[
        "rebuild the plugin",
        "older",
        "earlier",
    ]);
    // A constructor would end the process with 0.
    let silent = TestPlugin::new("ctor_exit")
        .called("never_run")
        .flag("-include")
        .flag(header("two.h"));
    refused(&silent.build()).prints_one_of(&["update this daemon", "newer", "later"]);
}

/// A header of the tests that changes the version that a plugin is built against.
fn header(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("plugins")
        .join(name)
        .display()
        .to_string()
}

#[test]
fn f10_a_plugin_that_needs_more_of_the_host_is_refused() {
    refused(&TestPlugin::file("host_too_small"))
        .prints_one_of(&["update this daemon", "needs more"]);
}

#[test]
fn f10_tables_that_end_too_early_are_refused() {
    refused(&TestPlugin::file("struct_short")).prints_one_of(&["struct_size", "tables"]);
    refused(&TestPlugin::file("entry_null"));
}

#[test]
fn f10_a_later_minor_version_is_served() {
    let daemon = with(&TestPlugin::file("abi_minor_new")).start();
    client::expect_echo(&mut client::tcp(daemon.tcp("bad")), b"hello\n");
    daemon.stop();
}

#[test]
fn f11_a_file_that_others_can_write_is_refused() {
    let dir = TempDir::new().unwrap();
    let bytes = fs::read(TestPlugin::file("plain")).unwrap();
    let file = put(&dir, "libpolyport_plain.so", &bytes);
    let mode = |mode: u32| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    for bad in [0o666, 0o664, 0o602, 0o777] {
        mode(bad);
        refused(&file).prints_one_of(&["write", "owner"]);
    }
    mode(0o644);
    with(&file).check().exits(0);

    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    refused(&file).prints_one_of(&["write", "owner"]);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    with(&file).check().exits(0);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    with(&file).check().exits(0);
}

#[test]
fn f11_under_a_service_manager_an_ordinary_user_is_as_strict() {
    const NOBODY: [&str; 4] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let dir = TempDir::new().unwrap();
    let file = put(
        &dir,
        "libpolyport_plain.so",
        &fs::read(TestPlugin::file("plain")).unwrap(),
    );
    let builder = with(&file).wrapped(&NOBODY);
    for folder in [dir.path(), builder.dir()] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let mut able = Command::new(NOBODY[0]);
    if !able_to_run(able.args(&NOBODY[1..])) {
        println!("left out: the daemon cannot be run as another user here");
        return;
    }
    builder.check().exits(0);
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    // A check by hand may read any file.
    builder.check().exits(0);
    let builder = builder.variable("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
    builder
        .check()
        .exits(events::EXIT_CONFIG)
        .prints_one_of(&["can be written", "can write"]);
}

/// Returns whether the daemon can be run by this wrapper: `setpriv ...`.
fn able_to_run(command: &mut Command) -> bool {
    let command = command.arg(binaries::polyportd()).arg("--version");
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn f11_a_file_of_another_user_is_refused() {
    const SOMEBODY: u32 = 61234;
    if !nix::unistd::geteuid().is_root() {
        println!("left out: only root can give files away");
        return;
    }
    let dir = TempDir::new().unwrap();
    let file = put(
        &dir,
        "libpolyport_plain.so",
        &fs::read(TestPlugin::file("plain")).unwrap(),
    );
    chown(&file, Some(SOMEBODY), None).unwrap();
    refused(&file).prints_one_of(&["owner", "own", "write"]);
}

#[test]
fn f11_a_link_does_not_make_an_unsafe_file_safe() {
    let (safe, unsafe_) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = put(
        &unsafe_,
        "libpolyport_plain.so",
        &fs::read(TestPlugin::file("plain")).unwrap(),
    );
    let link = safe.path().join("libpolyport_plain.so");
    symlink(&file, &link).unwrap();
    fs::set_permissions(unsafe_.path(), Permissions::from_mode(0o777)).unwrap();
    refused(&link).prints_one_of(&["write", "owner", "link"]);
}

#[test]
fn f14_a_file_that_is_still_being_written_is_not_used_half() {
    const STEP: Duration = Duration::from_millis(30);
    let dir = TempDir::new().unwrap();
    let whole = fs::read(TestPlugin::file("plain")).unwrap();
    let path = put(&dir, "libpolyport_plain.so", &whole[..1000]);
    let writer = {
        let (path, whole) = (path.clone(), whole.clone());
        thread::spawn(move || {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            for part in whole[1000..].chunks(whole.len() / 60) {
                file.write_all(part).unwrap();
                wait::measure(STEP);
            }
        })
    };
    refused(&path);
    writer.join().unwrap();
    wait::until("the whole file is used", SOON, || {
        (with(&path).check().code == 0).then_some(())
    });
}

#[test]
fn f15_a_folder_mounted_noexec_does_not_matter() {
    let dir = TempDir::new().unwrap();
    let mount = dir.path().join("noexec");
    fs::create_dir(&mount).unwrap();
    let plugin = TestPlugin::file("plain");
    let script = format!(
        "mount -t tmpfs -o noexec,mode=755 tmpfs {0} && cp {1} {0}/libpolyport_plain.so && exec \"$0\" \"$@\"",
        mount.display(),
        plugin.display()
    );
    let probe = Command::new("unshare").args(["-m", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("left out: this system gives no mount namespace");
        return;
    }
    let daemon = with(&mount.join("libpolyport_plain.so"));
    let daemon = daemon
        .wrapped(&["unshare", "-m", "sh", "-c", &script])
        .start();
    client::expect_echo(&mut client::tcp(daemon.tcp("bad")), b"hello\n");
    daemon.stop();
}

#[test]
fn a_bad_plugin_at_start_ends_with_78() {
    let finished = with(&TestPlugin::file("no_note")).run();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("note")
        .prints("libpolyport_no_note.so");
}
