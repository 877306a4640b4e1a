//! What the tests share: a C compiler, and damage that can be repeated.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test support, of which each test uses its part"
)]

pub(crate) mod faults;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use polyport_host::probe::ProbeRequest;
use polyport_host::stage::{StageOptions, Staged, stage};

/// The executable of `child.rs`.
pub(crate) const CHILD: &str = env!("CARGO_BIN_EXE_polyport-host-child");

pub(crate) fn staged(path: &Path) -> Staged {
    stage(path, &StageOptions::default()).unwrap()
}

/// Patient, because tests run beside each other: who is after the deadline sets one.
pub(crate) fn request() -> ProbeRequest {
    ProbeRequest {
        executable: CHILD.into(),
        deadline: Duration::from_secs(30),
        ..ProbeRequest::new(["probe"])
    }
}

/// What our executable prints that loads (`load`) or trusts (`trust`) these files.
pub(crate) fn said_by(mode: &str, files: &[impl AsRef<OsStr>]) -> String {
    let output = Command::new(CHILD).arg(mode).args(files).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// The children that this thread started and nobody waited for. Each test has a thread.
pub(crate) fn children() -> usize {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    list.split_ascii_whitespace().count()
}

/// A folder that vanishes, and what is built in it.
pub(crate) struct Workshop {
    pub(crate) room: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            room: tempfile::tempdir().unwrap(),
        }
    }

    /// The example of the headers.
    pub(crate) fn echo(&self) -> PathBuf {
        let source = manifest().join("../../plugin-api/examples/echo.c");
        self.compile(&source, "libpolyport_echo.so", &[])
    }

    /// The zoo with these macros, `NAME=VALUE` or `NAME`.
    pub(crate) fn zoo(&self, name: &str, macros: &[&str]) -> PathBuf {
        let flags: Vec<_> = macros.iter().map(|text| format!("-D{text}")).collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        self.zoo_with(name, &flags)
    }

    pub(crate) fn zoo_with(&self, name: &str, flags: &[&str]) -> PathBuf {
        self.compile(
            &manifest().join("tests/plugins/zoo.c"),
            &format!("{name}.so"),
            flags,
        )
    }

    pub(crate) fn compile(&self, source: &Path, name: &str, flags: &[&str]) -> PathBuf {
        let target = self.room.path().join(name);
        // For `.ci/memory`, which lets tools watch plugins.
        let extra = std::env::var("POLYPORT_PLUGIN_FLAGS").unwrap_or_default();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-I"])
            .arg(manifest().join("../../plugin-api/include"))
            .arg("-o")
            .arg(&target)
            .arg(source)
            .args(flags)
            .args(extra.split_ascii_whitespace())
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        target
    }
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Xorshift: the same damages in each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// `bytes` with one to four of them changed.
    pub(crate) fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            damaged[place] ^= 1 + self.below(255) as u8;
        }
        damaged
    }
}
