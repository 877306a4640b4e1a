//! Test plugins in C, most with one fault each. Each is compiled once, into a folder named by the digest of its sources.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries;

/// A plugin to be compiled.
#[derive(Clone, Debug)]
pub struct TestPlugin {
    name: String,
    source: PathBuf,
    flags: Vec<String>,
}

impl TestPlugin {
    /// `tests/plugins/NAME.c`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let source = sources().join(format!("{name}.c"));
        Self {
            name: name.to_owned(),
            source,
            flags: Vec::new(),
        }
    }

    /// `plugin-api/examples/NAME.c`, under the name of its handler.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let source = binaries::repository().join(format!("plugin-api/examples/{name}.c"));
        Self {
            name: name.to_owned(),
            source,
            flags: Vec::new(),
        }
    }

    /// The compiled file of `tests/plugins/NAME.c`.
    #[must_use]
    pub fn file(name: &str) -> PathBuf {
        Self::new(name).build()
    }

    /// The same source under another name.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// A `-D`.
    #[must_use]
    pub fn define(self, what: &str) -> Self {
        self.flag(format!("-D{what}"))
    }

    /// The version in its answers.
    #[must_use]
    pub fn version(self, number: u32) -> Self {
        self.define(&format!("VERSION={number}"))
    }

    /// A fault that it has, such as `start:fail`; see `plugin.h`.
    #[must_use]
    pub fn fault(self, fault: &str) -> Self {
        self.define(&format!("FAULT=\"{fault}\""))
    }

    /// Any other flag of the compiler, after the source.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// The compiled file, `libpolyport_NAME.so`.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        let include = binaries::repository().join("plugin-api/include");
        let mut arguments = vec![
            "-shared".to_owned(),
            "-fPIC".to_owned(),
            "-fvisibility=hidden".to_owned(),
            "-O1".to_owned(),
            "-Wall".to_owned(),
            "-Wextra".to_owned(),
            "-Werror".to_owned(),
            format!("-I{}", include.display()),
            format!("-DTEST_NAME=\"{}\"", self.name),
            self.source.display().to_string(),
        ];
        arguments.extend(self.flags.iter().cloned());
        let folder = binaries::profile_dir().join(format!(
            "e2e-plugins/{:016x}",
            self.digest(&include, &arguments)
        ));
        let file = folder.join(format!("libpolyport_{}.so", self.name));
        fs::create_dir_all(&folder).expect("a folder for the plugin");
        let lock = File::create(folder.join("lock")).expect("a lock for the folder");
        lock.lock().expect("the lock can be had");
        if !file.exists() {
            compile(&arguments, &file);
        }
        file
    }

    fn digest(&self, include: &Path, arguments: &[String]) -> u64 {
        let mut digest = DefaultHasher::new();
        arguments.hash(&mut digest);
        let headers = fs::read_dir(include.join("polyport")).expect("the headers are there");
        let mut parts: Vec<PathBuf> = headers.flatten().map(|entry| entry.path()).collect();
        parts.extend([sources().join("plugin.h"), self.source.clone()]);
        parts.sort();
        for source in parts {
            fs::read(source).unwrap_or_default().hash(&mut digest);
        }
        digest.finish()
    }
}

fn compile(arguments: &[String], file: &Path) {
    let half = file.with_extension("half");
    let output = Command::new("cc")
        .args(arguments)
        .arg("-o")
        .arg(&half)
        .output();
    let output = output.expect("a C compiler is there as `cc`");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cc {}:\n{complaint}",
        arguments.join(" ")
    );
    fs::rename(&half, file).expect("the plugin can be put in place");
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins")
}
