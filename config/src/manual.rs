//! The reference of all keys: Markdown for the site, roff for the man page.

use crate::reference::{Entry, SECTIONS, Section};

/// The reference of all keys, as Markdown.
pub fn markdown() -> String {
    let mut out = String::from("# Configuration keys\n");
    for section in SECTIONS {
        line(
            &mut out,
            format_args!("\n## {}\n\n{}\n", title(section), section.doc),
        );
        for entry in section.keys {
            line(
                &mut out,
                format_args!(
                    "- `{}` ({}){}: {}",
                    entry.name,
                    entry.kind.form(),
                    fallback(entry, "`"),
                    entry.doc
                ),
            );
        }
    }
    out
}

/// The man page `polyport.yaml(5)` (roff).
pub fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let head = format!(
        ".TH POLYPORT.YAML 5 \"\" \"polyport {version}\"\n\
         .SH NAME\npolyport.yaml \\- configuration of polyportd\n\
         .SH DESCRIPTION\nYAML, and strict: a key that is not known is a fault, told with its place.\n\
         .B polyportd \\-\\-check\nsays every fault of a file and of what it includes.\n"
    );
    format!("{head}{}.SH SEE ALSO\n.BR polyportd (8)\n", man())
}

/// The reference as the body of a man page (roff), from `.SH CONFIGURATION` on.
pub fn man() -> String {
    let roff = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let mut out = String::from(".SH CONFIGURATION\n");
    for section in SECTIONS {
        line(
            &mut out,
            format_args!(".SS {}\n{}", roff(title(section)), roff(section.doc)),
        );
        for entry in section.keys {
            let rest = format!(
                "{}{}. {}",
                entry.kind.form(),
                fallback(entry, ""),
                entry.doc
            );
            line(
                &mut out,
                format_args!(".TP\n.B {}\n{}", roff(entry.name), roff(&rest)),
            );
        }
    }
    out
}

fn title(section: &Section) -> &'static str {
    match section.name {
        "" => "The file",
        name => name,
    }
}

fn fallback(entry: &Entry, quote: &str) -> String {
    match entry.default {
        Some(default) => format!(", default {quote}{default}{quote}"),
        None if entry.required => ", required".to_owned(),
        None => String::new(),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&text.to_string());
    out.push('\n');
}
