//! Where the programs and plugins under test are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that cargo builds this profile into: `target/debug`, say.
#[must_use]
pub fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let deps = test.parent().expect("a test is in a folder");
    deps.parent()
        .expect("the folder is in a folder of the profile")
        .to_owned()
}

/// The daemon: `$POLYPORTD`, or what cargo built beside this test.
#[must_use]
pub fn polyportd() -> PathBuf {
    match env::var_os("POLYPORTD") {
        Some(path) => present(PathBuf::from(path)),
        None => present(profile_dir().join("polyportd")),
    }
}

/// The program of operators: `$POLYPORTCTL`, or what cargo built beside this test.
#[must_use]
pub fn polyportctl() -> PathBuf {
    match env::var_os("POLYPORTCTL") {
        Some(path) => present(PathBuf::from(path)),
        None => present(profile_dir().join("polyportctl")),
    }
}

/// The program that starts another one with sockets passed to it, as a service manager does.
#[must_use]
pub fn passing() -> PathBuf {
    present(profile_dir().join("e2e-pass"))
}

/// The load generator: `$POLYPORT_LOAD`, or what cargo built.
#[must_use]
pub fn polyport_load() -> PathBuf {
    match env::var_os("POLYPORT_LOAD") {
        Some(path) => present(PathBuf::from(path)),
        None => present(profile_dir().join("polyport-load")),
    }
}

/// A bundled plugin.
#[must_use]
pub fn bundled(name: &str) -> PathBuf {
    present(plugin_dir().join(format!("libpolyport_{name}.so")))
}

/// The folder of the bundled plugins: `$POLYPORT_PLUGINS`, or what cargo built.
#[must_use]
pub fn plugin_dir() -> PathBuf {
    env::var_os("POLYPORT_PLUGINS").map_or_else(profile_dir, PathBuf::from)
}

/// A plugin in Rust from an `examples` folder of the repository.
#[must_use]
pub fn rust_plugin(name: &str) -> PathBuf {
    present(profile_dir().join("examples").join(format!("lib{name}.so")))
}

/// Compiles this version of an example of the SDK, `plugin-api/examples/NAME.rs`, into a folder.
#[must_use]
pub fn rust_example(name: &str, version: u32, into: &Path) -> PathBuf {
    let output = into.join(format!("libpolyport_{name}_{version}.so"));
    let sdk = present(profile_dir().join("libpolyport_sdk.rlib"));
    let mut compiler = Command::new("rustc");
    compiler
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "--crate-name",
            name,
        ])
        .arg("--extern")
        .arg(format!("polyport_sdk={}", sdk.display()))
        .arg("-L")
        .arg(format!(
            "dependency={}",
            profile_dir().join("deps").display()
        ))
        .arg("-o")
        .arg(&output)
        .arg(format!("plugin-api/examples/{name}.rs"));
    // What cargo would say, and the version.
    compiler
        .env("CARGO_PKG_VERSION", format!("{version}.0"))
        .env("CARGO_PKG_LICENSE", "")
        .env(
            format!("{}_VERSION", name.to_uppercase()),
            version.to_string(),
        );
    let compiled = compiler.current_dir(repository()).output();
    let compiled = compiled.expect("the compiler is there as `rustc`");
    let complaint = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "rustc {name}.rs:\n{complaint}");
    output
}

/// A copy of a plugin with its hash in its note: other bytes, same code.
#[must_use]
pub fn sealed(plugin: &Path, into: &Path) -> PathBuf {
    let copy = into.join("sealed.so");
    fs::copy(plugin, &copy).expect("the plugin can be copied");
    let sealed = Command::new(polyportd()).arg("seal").arg(&copy).status();
    assert!(sealed.expect("the daemon runs").success());
    copy
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the tree")
}

fn present(path: PathBuf) -> PathBuf {
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is missing: run `cargo xtask test`, which builds it first"
    );
    path
}
