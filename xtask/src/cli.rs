//! The command line of `cargo xtask`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::ci::Step;
use crate::demo::PORT_BASE;
use crate::dist::DistOptions;
use crate::rig::RigOptions;
use crate::run::RunOptions;
use crate::workspace::Profile;

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
usage: cargo xtask TASK

  run [--port-base N] [--release]
                    build the daemon and its plugins and serve a demonstration
                    on 127.0.0.1; N is the lowest port, 7000 if not given
  test [FILTER..]   build everything and run all tests, or those with a FILTER in their name
  test --packages [--allow-skip] [SUITE..]
                    make packages and lead them through their life in throwaway machines; needs root
                    (see packaging/test); --allow-skip: where that cannot be, it is no failure
  ci                what continuous integration runs, in its order: fmt, clippy, tidy,
                    gen --check, doc, deny, manifests, test
  fmt clippy tidy doc deny manifests
                    one of these steps
  notices FOLDER    write THIRD-PARTY there: the licences of all that is linked in
  gen [--check]     write the generated files again; --check: only say what differs
  bench [ARGS..]    measure a release build; ARGS go to the benchmark (try --help)
  dist [--deb] [--rpm] [--revision N] [--check]
                    make packages in dist/, both kinds if none is named; N is the number behind
                    the version, 1 if not given; --check: make them twice and compare
  help              this text";

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Serve the demonstration.
    Run(RunOptions),
    /// Run tests.
    Test {
        /// Parts of test names; none: all tests.
        filters: Vec<String>,
    },
    /// Lead the packages through their life.
    Rig(RigOptions),
    /// Run all steps of continuous integration.
    Ci,
    /// Run one of them.
    Step(Step),
    /// Make packages.
    Dist(DistOptions),
    /// Write the licences of others.
    Notices {
        /// Where to.
        folder: PathBuf,
    },
    /// Run the benchmarks.
    Bench {
        /// What the benchmark is given.
        arguments: Vec<String>,
    },
    /// Print the usage.
    Help,
}

/// Reads the words after `cargo xtask`.
///
/// # Errors
/// Says which word is wrong.
pub(crate) fn parse(arguments: &[String]) -> Result<Task> {
    let Some((task, rest)) = arguments.split_first() else {
        return Ok(Task::Help);
    };
    Ok(match task.as_str() {
        "run" => Task::Run(run_options(rest)?),
        "test" if rest.iter().any(|word| word == "--packages") => Task::Rig(rig_options(rest)?),
        "test" => Task::Test {
            filters: filters(rest)?,
        },
        "dist" => Task::Dist(dist_options(rest)?),
        "bench" => Task::Bench {
            arguments: rest.to_vec(),
        },
        "notices" => match rest {
            [folder] => Task::Notices {
                folder: PathBuf::from(folder),
            },
            _ => bail!("notices takes the folder to write to"),
        },
        "gen" => Task::Step(Step::Gen {
            check: only_flag(rest, "--check")?,
        }),
        "help" | "--help" | "-h" => Task::Help,
        other => {
            if let Some(word) = rest.first() {
                bail!("{other} takes no argument, and was given {word}");
            }
            plain(other)?
        }
    })
}

fn plain(task: &str) -> Result<Task> {
    Ok(match task {
        "ci" => Task::Ci,
        "fmt" => Task::Step(Step::Fmt),
        "clippy" => Task::Step(Step::Clippy),
        "tidy" => Task::Step(Step::Tidy),
        "doc" => Task::Step(Step::Doc),
        "deny" => Task::Step(Step::Deny),
        "manifests" => Task::Step(Step::Manifests),
        other => bail!("there is no task {other}"),
    })
}

fn run_options(words: &[String]) -> Result<RunOptions> {
    // Dev: from a clean clone it takes two thirds of the time of a release build.
    let mut options = RunOptions {
        port_base: PORT_BASE,
        profile: Profile::Dev,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--release" => options.profile = Profile::Release,
            "--port-base" => {
                options.port_base = port(words.next().context("--port-base needs a number")?)?;
            }
            other => match other.strip_prefix("--port-base=") {
                Some(number) => options.port_base = port(number)?,
                None => bail!("run does not know {other}"),
            },
        }
    }
    Ok(options)
}

fn port(text: &str) -> Result<u16> {
    text.parse()
        .with_context(|| format!("{text} is not a port"))
}

fn dist_options(words: &[String]) -> Result<DistOptions> {
    let mut options = DistOptions {
        deb: false,
        rpm: false,
        revision: 1,
        check: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--deb" => options.deb = true,
            "--rpm" => options.rpm = true,
            "--check" => options.check = true,
            "--revision" => {
                let number = words.next().context("--revision needs a number")?;
                options.revision = number
                    .parse()
                    .with_context(|| format!("{number} is not a revision"))?;
            }
            other => bail!("dist does not know {other}"),
        }
    }
    if !options.deb && !options.rpm {
        (options.deb, options.rpm) = (true, true);
    }
    Ok(options)
}

fn rig_options(words: &[String]) -> Result<RigOptions> {
    let mut options = RigOptions::default();
    for word in words {
        match word.as_str() {
            "--packages" => {}
            "--allow-skip" => options.allow_skip = true,
            option if option.starts_with('-') => bail!("test --packages does not know {option}"),
            suite => options.suites.push(suite.to_owned()),
        }
    }
    Ok(options)
}

fn filters(words: &[String]) -> Result<Vec<String>> {
    if let Some(option) = words.iter().find(|word| word.starts_with('-')) {
        bail!("test takes parts of test names, not {option}");
    }
    Ok(words.to_vec())
}

fn only_flag(words: &[String], flag: &str) -> Result<bool> {
    match words {
        [] => Ok(false),
        [word] if word == flag => Ok(true),
        _ => bail!("only {flag} may follow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn tasks_and_their_options_are_read() {
        let run = |port_base, profile| Task::Run(RunOptions { port_base, profile });
        assert_eq!(parsed("").unwrap(), Task::Help);
        assert_eq!(parsed("run").unwrap(), run(7000, Profile::Dev));
        assert_eq!(
            parsed("run --port-base 9000").unwrap(),
            run(9000, Profile::Dev)
        );
        assert_eq!(
            parsed("run --release --port-base=9000").unwrap(),
            run(9000, Profile::Release)
        );
        assert_eq!(
            parsed("gen --check").unwrap(),
            Task::Step(Step::Gen { check: true })
        );
        assert_eq!(parsed("tidy").unwrap(), Task::Step(Step::Tidy));
        assert_eq!(parsed("manifests").unwrap(), Task::Step(Step::Manifests));
        let folder = PathBuf::from("out");
        assert_eq!(parsed("notices out").unwrap(), Task::Notices { folder });
        let filters = vec!["f07".to_owned(), "drain".to_owned()];
        assert_eq!(parsed("test f07 drain").unwrap(), Task::Test { filters });
        let arguments = vec!["--rounds".to_owned(), "1".to_owned()];
        let suites = vec!["deb".to_owned()];
        let rig = RigOptions {
            allow_skip: true,
            suites,
        };
        assert_eq!(
            parsed("test --packages --allow-skip deb").unwrap(),
            Task::Rig(rig)
        );
        assert_eq!(
            parsed("bench --rounds 1").unwrap(),
            Task::Bench { arguments }
        );
    }

    #[test]
    fn dist_makes_both_kinds_if_none_is_named() {
        let dist = |deb, rpm, revision| {
            Task::Dist(DistOptions {
                deb,
                rpm,
                revision,
                check: false,
            })
        };
        assert_eq!(parsed("dist").unwrap(), dist(true, true, 1));
        assert_eq!(parsed("dist --rpm").unwrap(), dist(false, true, 1));
        assert_eq!(
            parsed("dist --deb --revision 7").unwrap(),
            dist(true, false, 7)
        );
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, said) in [
            ("serve", "no task serve"),
            ("run --port-base", "needs a number"),
            ("run --port-base 70000", "70000 is not a port"),
            ("run fast", "does not know fast"),
            ("gen --all", "only --check"),
            ("notices", "takes the folder"),
            ("test --packages --fast", "does not know --fast"),
            ("dist --revision x", "x is not a revision"),
            ("dist --zip", "does not know --zip"),
            ("tidy src", "takes no argument"),
            ("test --nocapture", "not --nocapture"),
        ] {
            let fault = parsed(line).unwrap_err().to_string();
            assert!(fault.contains(said), "{line}: {fault}");
        }
    }
}
