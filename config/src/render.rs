//! Faults for a terminal: each with its line of the file, drawn by the renderer of rustc. A line
//! that may hold a secret is not shown.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::faults::{Fault, Faults, Severity, Sources};

impl Faults {
    /// All faults, each with its line if `sources` has it.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let blocks = self
            .iter()
            .map(|fault| renderer.render(&[group(fault, sources)]) + "\n");
        blocks.collect::<Vec<_>>().join("\n")
    }
}

fn group<'a>(fault: &'a Fault, sources: &'a Sources) -> Group<'a> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let position = &fault.position;
    let path = position.file.to_string_lossy();
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let title = level.primary_title(fault.message.as_str());
    let mut group = match sources.line(position) {
        Some(line) => {
            let marked = AnnotationKind::Primary.span(marked(line, number(position.column)));
            let snippet = Snippet::source(line)
                .line_start(number(position.line))
                .path(path);
            title.element(snippet.annotation(marked))
        }
        None if position.line == 0 => title.element(Origin::path(path)),
        None => {
            let origin = Origin::path(path).line(number(position.line));
            title.element(origin.char_column(number(position.column)))
        }
    };
    if let Some(help) = &fault.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The range of a line to underline: from a column to the end of the word.
fn marked(line: &str, column: usize) -> Range<usize> {
    let start = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at);
    let word = line
        .get(start..)
        .unwrap_or_default()
        .split_whitespace()
        .next()
        .unwrap_or_default();
    let word = word.trim_end_matches([',', '}', ':']);
    start..start + word.len().max(1).min(line.len() - start)
}
