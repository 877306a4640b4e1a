//! Files as they should not be, read without running them.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod common;

use common::{Dice, Workshop};
use polyport_host::inspect::{inspect, seal};
use polyport_host::load_error::ErrorCode;

fn echo() -> Vec<u8> {
    std::fs::read(Workshop::new().echo()).unwrap()
}

fn code(bytes: &[u8]) -> ErrorCode {
    inspect(bytes).unwrap_err().code()
}

#[test]
fn inspect_reads_the_facts_of_a_good_plugin() {
    let seen = inspect(&echo()).unwrap();
    assert_eq!(seen.note.id, "org.polyport.example.echo");
    assert_eq!((seen.note.abi_major, seen.note.abi_minor), (1, 0));
    assert_eq!(seen.note.sealed, None);
    assert_eq!(seen.warnings, [""; 0]);
    assert!(seen.mapped_size > 0x4000, "{}", seen.mapped_size);
    assert!(seen.build_id.is_some_and(|id| id.len() == 40));
}

#[test]
fn inspect_finds_the_note_without_its_section() {
    let mut bytes = echo();
    let name = b".note.polyport";
    let place = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    bytes[place + 1] = b'x';
    assert_eq!(
        inspect(&bytes).unwrap().note.id,
        "org.polyport.example.echo"
    );
    let sealed = seal(&bytes).unwrap();
    assert!(inspect(&sealed).unwrap().note.sealed.is_some());
}

#[test]
fn inspect_accepts_the_layouts_of_linkers() {
    let workshop = Workshop::new();
    let variants: [(&str, &[&str]); 7] = [
        ("stripped", &["-Wl,-s"]),
        ("old-hash", &["-Wl,--hash-style=sysv"]),
        ("both-hashes", &["-Wl,--hash-style=both"]),
        ("one-page", &["-Wl,-z,noseparate-code"]),
        ("lazy", &["-Wl,-z,lazy", "-fplt"]),
        ("big-pages", &["-Wl,-z,max-page-size=65536"]),
        ("debug", &["-g3", "-Wl,-z,pack-relative-relocs"]),
    ];
    for (name, flags) in variants {
        let bytes = std::fs::read(workshop.zoo_with(name, flags)).unwrap();
        let seen = inspect(&bytes);
        assert!(seen.is_ok(), "{name}: {}", seen.unwrap_err());
        for len in (0..bytes.len()).step_by(97) {
            assert!(inspect(&bytes[..len]).is_err(), "{name} of {len} bytes");
        }
    }
}

#[test]
fn f07_random_damage_never_panics() {
    let good = echo();
    let mut dice = Dice::new(7);
    let mut refused = 0;
    for _ in 0..20_000 {
        refused += usize::from(inspect(&dice.damage(&good)).is_err());
    }
    println!("20000 damages, {refused} refused without running anything");
    assert!(refused > 3000);
}

#[test]
fn f07_a_sealed_file_refuses_every_damage() {
    let sealed = seal(&echo()).unwrap();
    assert!(inspect(&sealed).unwrap().note.sealed.is_some());
    assert_eq!(seal(&sealed).unwrap(), sealed);
    let mut dice = Dice::new(11);
    for round in 0..200 {
        let damaged = dice.damage(&sealed);
        if damaged != sealed {
            assert!(inspect(&damaged).is_err(), "damage {round} passed");
        }
    }
    let mut longer = sealed;
    longer.push(0);
    assert_eq!(code(&longer), ErrorCode::SealBroken);
}

#[test]
fn f08_other_files_are_called_by_their_name() {
    assert_eq!(code(b""), ErrorCode::Truncated);
    assert_eq!(code(b"#!/bin/sh\n"), ErrorCode::NotElf);
    assert_eq!(
        code(&std::fs::read("/proc/self/exe").unwrap()),
        ErrorCode::NotSharedObject
    );
    let good = echo();
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        inspect(&bytes).unwrap_err()
    };
    let other = if cfg!(target_arch = "aarch64") {
        62
    } else {
        183
    };
    let error = with(18, other);
    assert_eq!(error.code(), ErrorCode::WrongMachine);
    assert!(
        error.what().contains("aarch64") && error.what().contains("x86-64"),
        "{error}"
    );
    assert!(with(4, 1).what().contains("32-bit"));
    assert_eq!(with(5, 2).code(), ErrorCode::WrongMachine);
    assert_eq!(with(16, 1).code(), ErrorCode::NotSharedObject);
}

#[test]
fn f09_f10_each_fault_of_the_note_has_its_code_and_sentence() {
    let workshop = Workshop::new();
    let cases: [(&str, &[&str], ErrorCode, &str); 8] = [
        ("none", &["NO_NOTE"], ErrorCode::NoNote, "PP_PLUGIN_NOTE"),
        (
            "entry",
            &["ENTRY=something_else"],
            ErrorCode::NoEntry,
            "polyport_plugin_v1",
        ),
        (
            "v2",
            &["ENTRY=polyport_plugin_v2"],
            ErrorCode::AbiTooNew,
            "polyport_plugin_v2",
        ),
        ("major2", &["NOTE_MAJOR=2"], ErrorCode::AbiTooNew, "ABI 2.0"),
        ("major0", &["NOTE_MAJOR=0"], ErrorCode::AbiTooOld, "ABI 0.0"),
        (
            "size",
            &["NOTE_HOST_SIZE=sizeof(pp_host)+8"],
            ErrorCode::HostTooSmall,
            "this host has",
        ),
        (
            "abort",
            &["NOTE_FLAGS=PP_PF_PANIC_ABORT"],
            ErrorCode::PanicAbort,
            "rebuild it with",
        ),
        (
            "id",
            &["NOTE_ID=\"\""],
            ErrorCode::Damaged,
            "id in its note",
        ),
    ];
    for (name, macros, code, sentence) in cases {
        let bytes = std::fs::read(workshop.zoo(name, macros)).unwrap();
        let error = inspect(&bytes).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(sentence), "{name}: {error}");
        println!("{name}: {error}");
    }
}

#[test]
fn f08_each_fault_of_the_image_has_its_code() {
    let workshop = Workshop::new();
    let cases: [(&str, &[&str], ErrorCode); 3] = [
        ("stack", &["-Wl,-z,execstack"], ErrorCode::UnsafeImage),
        ("go", &["-DGO"], ErrorCode::GoRuntime),
        (
            "program",
            &["-Wl,--dynamic-linker=/lib/ld.so", "-DINTERPRETER"],
            ErrorCode::NotSharedObject,
        ),
    ];
    for (name, flags, code) in cases {
        let bytes = std::fs::read(workshop.zoo_with(name, flags)).unwrap();
        let error = inspect(&bytes).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    let mut writable_code = echo();
    // Flags of the second program header, which is the code's: read, write, execute.
    writable_code[64 + 56 + 4] = 7;
    assert_eq!(code(&writable_code), ErrorCode::UnsafeImage);
}

#[test]
fn inspect_warns_of_faults_that_forbid_nothing() {
    let workshop = Workshop::new();
    let bytes = std::fs::read(workshop.zoo_with(
        "loud",
        &[
            "-fvisibility=default",
            "-DMISSING",
            "-DCTOR=forever()",
            "-Wl,-rpath,$ORIGIN/lib",
        ],
    ))
    .unwrap();
    let seen = inspect(&bytes).unwrap();
    assert!(
        seen.warnings
            .iter()
            .any(|text| text.contains("-fvisibility=hidden")),
        "{seen:?}"
    );
    assert!(
        seen.warnings.iter().any(|text| text.contains("run path")),
        "{seen:?}"
    );
    assert!(
        seen.undefined
            .iter()
            .any(|name| name == "zoo_first_missing")
    );
    assert_eq!(seen.needed, ["libc.so.6"]);
}
