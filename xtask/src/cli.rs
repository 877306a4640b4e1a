//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::ci::Step;
use crate::dist::DistOptions;
use crate::run::RunOptions;
use crate::test::TestOptions;

/// Everything that this repository can do for whoever works on it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Task {
    /// Build the daemon and its plugins and serve a demonstration on 127.0.0.1
    Run(RunOptions),
    /// Build everything and run the tests
    Test(TestOptions),
    /// Run what continuous integration runs, in its order: the steps below, then the tests
    Ci,
    #[command(flatten)]
    Step(Step),
    /// Make packages in dist/, both kinds if none is named
    Dist(DistOptions),
    /// Write THIRD-PARTY, the licences of all linked libraries
    Notices {
        /// The folder to write to
        folder: PathBuf,
    },
    /// Measure a release build
    Bench {
        /// Arguments of the benchmark; try --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Simulate a worker: 10,000 seeds against a model
    Sim {
        /// Arguments of the simulation; try --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Profile;

    fn parsed(line: &str) -> Result<Task, String> {
        let words = std::iter::once("xtask").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|fault| fault.to_string())?;
        Ok(cli.task)
    }

    #[test]
    fn tasks_and_their_options_are_read() {
        let run = |line: &str| match parsed(line).unwrap() {
            Task::Run(options) => (options.port_base, options.profile()),
            other => panic!("{other:?}"),
        };
        assert_eq!(run("run"), (7000, Profile::Dev));
        assert_eq!(
            run("run --release --port-base=9000"),
            (9000, Profile::Release)
        );
        assert_eq!(
            parsed("gen --check").unwrap(),
            Task::Step(Step::Gen { check: true })
        );
        assert_eq!(parsed("tidy").unwrap(), Task::Step(Step::Tidy));
        let folder = PathBuf::from("out");
        assert_eq!(parsed("notices out").unwrap(), Task::Notices { folder });
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let mut test = TestOptions {
            filters: words(&["f07", "drain"]),
            ..TestOptions::default()
        };
        assert_eq!(parsed("test f07 drain").unwrap(), Task::Test(test));
        test = TestOptions {
            packages: true,
            allow_skip: true,
            filters: words(&["deb"]),
            ..TestOptions::default()
        };
        assert_eq!(
            parsed("test --packages --allow-skip deb").unwrap(),
            Task::Test(test)
        );
        let arguments = words(&["--rounds", "1"]);
        assert_eq!(
            parsed("bench --rounds 1").unwrap(),
            Task::Bench { arguments }
        );
    }

    #[test]
    fn dist_makes_both_kinds_if_none_is_named() {
        let kinds = |line: &str| match parsed(line).unwrap() {
            Task::Dist(options) => (options.makes_deb(), options.makes_rpm(), options.revision),
            other => panic!("{other:?}"),
        };
        assert_eq!(kinds("dist"), (true, true, 1));
        assert_eq!(kinds("dist --rpm"), (false, true, 1));
        assert_eq!(kinds("dist --deb --revision 7"), (true, false, 7));
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, said) in [
            ("serve", "'serve'"),
            ("run --port-base", "--port-base"),
            ("run --port-base 70000", "70000"),
            ("run fast", "'fast'"),
            ("gen --all", "--all"),
            ("notices", "<FOLDER>"),
            ("test --allow-skip", "--packages"),
            ("dist --revision x", "'x'"),
            ("tidy src", "'src'"),
            ("test --nocapture", "--nocapture"),
        ] {
            let fault = parsed(line).unwrap_err();
            assert!(fault.contains(said), "{line}: {fault}");
        }
    }
}
