//! Manuals and completions out of the definitions of the command lines. `POLYPORT_WRITE=1` writes them anew.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it is made of too"
)]

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

#[test]
fn manuals_and_completions_on_disk_are_those_of_the_code() {
    let operators = polyport_ctl::cli::Arguments::command();
    let daemon = polyport_daemon::cli::Arguments::command();
    let completion = |shell| {
        let mut text = Vec::new();
        generate(shell, &mut operators.clone(), "polyportctl", &mut text);
        String::from_utf8(text).unwrap()
    };
    for (path, made) in [
        (
            "man/polyportctl.1",
            page(&operators, "1", "EXIT STATUS", "polyportd (8)"),
        ),
        (
            "man/polyportd.8",
            page(
                &daemon,
                "8",
                "EXIT STATUS AND SIGNALS",
                "polyportctl (1), polyport.yaml (5)",
            ),
        ),
        ("completions/polyportctl.bash", completion(Shell::Bash)),
        ("completions/_polyportctl", completion(Shell::Zsh)),
        ("completions/polyportctl.fish", completion(Shell::Fish)),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("../packaging").join(path);
        if std::env::var_os("POLYPORT_WRITE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{} is stale: cargo xtask gen", path.display());
    }
}

/// One page with all commands; what follows the help has this heading.
fn page(command: &Command, section: &str, after: &str, see_also: &str) -> String {
    let name = command.get_name().to_owned();
    let mut command = command
        .clone()
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND");
    command.build();
    let version = env!("CARGO_PKG_VERSION");
    // No date: the file is the same whenever it is made.
    let mut text = format!(
        "{QUOTE}.TH {} {section} \"\" \"polyport {version}\"\n",
        name.to_uppercase()
    );
    let man = Man::new(command.clone());
    text += &part(|out| man.render_name_section(out));
    text += &part(|out| man.render_synopsis_section(out));
    text += &part(|out| man.render_description_section(out));
    text += &part(|out| man.render_options_section(out));
    text += ".SH COMMANDS\n";
    commands(&command, &name, &mut text);
    let extra = part(|out| man.render_extra_section(out));
    text += &extra.replace(".SH EXTRA\n", &format!(".SH {after}\n"));
    text + &format!(".SH SEE ALSO\n.BR {}\n", see_also.replace(", ", " ,\n.BR "))
}

/// What each part begins with: how a straight quote is said.
const QUOTE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

fn part(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    String::from_utf8(out).unwrap().replace(QUOTE, "")
}

/// A part for each command that does something, with its own options.
fn commands(command: &Command, path: &str, text: &mut String) {
    for each in command.get_subcommands().filter(|each| !each.is_hide_set()) {
        let path = format!("{path} {}", each.get_name());
        let man = Man::new(each.clone().mut_args(|arg| {
            let is_shared = arg.is_global_set() || arg.get_id() == "help";
            arg.hide(is_shared)
        }));
        *text += &format!(".SS {path}\n");
        let about = part(|out| man.render_description_section(out));
        *text += about.trim_start_matches(".SH DESCRIPTION\n");
        let options = part(|out| man.render_options_section(out));
        *text += options.trim_start_matches(".SH OPTIONS\n");
        commands(each, &path, text);
    }
}
