//! `cargo xtask test`: builds everything that tests start, then runs every test of the workspace.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::packages::{FOR_MEMORY, FOR_TESTS, ensure, on_path};
use crate::workspace::{Profile, Workspace, shown, succeed};
use crate::{plugins, sim};

const THREADS_PER_PROCESSOR: usize = 3;
/// Tests that have a long form look for it.
const LONG: &str = "POLYPORT_LONG";

/// Which tests to run.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct TestOptions {
    /// The long forms: more repetitions and larger numbers, under the same assertions
    #[arg(long)]
    pub(crate) long: bool,
    /// Make packages and test their life in throwaway machines (packaging/test); needs root
    #[arg(long, conflicts_with = "long")]
    pub(crate) packages: bool,
    /// Where packages cannot be tested, that is no failure
    #[arg(long, requires = "packages")]
    pub(crate) allow_skip: bool,
    /// Tests with one of these in their name, or suites of the packages; none: all
    #[arg(value_name = "NAME")]
    pub(crate) filters: Vec<String>,
}

/// Runs all tests, or those that have one of the filters in their name. The last line of a good
/// run is the runner's own count.
///
/// # Errors
/// A tool is missing, a build or a test failed, or no test was run.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    ensure(FOR_TESTS)?;
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--locked",
        "--workspace",
        "--lib",
        "--bins",
        "--examples",
    ]);
    succeed(&mut build)?;
    plugins::gather(workspace, Profile::Dev)?;
    if options.long && options.filters.is_empty() {
        ensure(FOR_MEMORY)?;
        succeed(Command::new(".ci/memory").current_dir(&workspace.root))?;
        sim::find_planted(workspace)?;
    }
    if on_path("cargo-nextest") {
        with_nextest(workspace, options)
    } else {
        with_cargo(workspace, options)
    }
}

/// Nextest does not run the examples in the documentation, so cargo does that before it.
fn with_nextest(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let mut documentation = workspace.cargo();
    documentation.args([
        "test",
        "--locked",
        "--workspace",
        "--doc",
        "--no-fail-fast",
        "--",
    ]);
    let documented = succeed(documentation.args(&options.filters));

    let mut tests = workspace.cargo();
    if options.long {
        tests.env(LONG, "1");
    }
    tests.args([
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ]);
    // A filter may have named an example in the documentation alone.
    tests.args(["--no-tests", "fail", "--test-threads"]);
    tests.arg(threads().to_string()).arg("--");
    succeed(tests.args(&options.filters))?;
    documented.context("the examples in the documentation")
}

/// Most tests wait for another process most of their time.
fn threads() -> usize {
    THREADS_PER_PROCESSOR * std::thread::available_parallelism().map_or(1, usize::from)
}

fn with_cargo(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let mut tests = workspace.cargo();
    if options.long {
        tests.env(LONG, "1");
    }
    tests
        .args(["test", "--locked", "--workspace", "--no-fail-fast", "--"])
        .args(&options.filters);
    tests.env("RUST_TEST_THREADS", threads().to_string());
    let passed = counted(&mut tests)?;
    if passed == 0 {
        bail!("no test was run");
    }
    println!("test result: ok. {passed} passed in all");
    Ok(())
}

/// Runs the command, shows what it prints, and counts the tests that passed.
///
/// # Errors
/// It cannot be run, or it failed.
pub(crate) fn counted(command: &mut Command) -> Result<u64> {
    let line = shown(command);
    eprintln!("$ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut total = 0;
    for text in BufReader::new(output).lines() {
        let text = text?;
        println!("{text}");
        total += passed(&text).unwrap_or(0);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(total)
}

/// The count in the closing line of one test binary.
fn passed(line: &str) -> Option<u64> {
    let (count, _) = line
        .strip_prefix("test result: ok. ")?
        .split_once(" passed;")?;
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_nothing_else() {
        let closing = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        assert_eq!(passed(closing), Some(12));
        assert_eq!(passed("test tidy::tests::a ... ok"), None);
        assert_eq!(
            passed("test result: FAILED. 3 passed; 1 failed; 0 ignored"),
            None
        );
    }
}
