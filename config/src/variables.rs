//! `${NAME}` and `${NAME:-default}` in values; `$$` is a `$`. Keys are not expanded.

use crate::faults::quoted;
use crate::node::{Kind, Node, Position};
use crate::table::Findings;

/// Expands the variables of every value below a node. An unquoted value is then typed again, as if
/// written in the file: `${PORT}` can be a number, `"${PORT}"` is text.
pub(crate) fn expand(
    node: &mut Node,
    lines: &Lines<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
    found: &mut Findings,
) {
    match &mut node.kind {
        Kind::Seq(items) => {
            items
                .iter_mut()
                .for_each(|item| expand(item, lines, variable, found));
        }
        Kind::Map(entries) => {
            entries
                .iter_mut()
                .for_each(|(_, value)| expand(value, lines, variable, found));
        }
        Kind::String(text) if text.contains('$') && !found.undefined.contains(&node.position) => {
            let mut faults = Vec::new();
            let expanded = expanded(text, variable, &mut faults);
            let asks = text.contains("${");
            for (message, help) in &faults {
                found.error(&node.position, message.clone(), help.as_str());
            }
            if !faults.is_empty() {
                found.undefined.insert(node.position.clone());
            }
            node.kind = if asks && lines.plain_at(&node.position) {
                typed(expanded)
            } else {
                Kind::String(expanded)
            };
        }
        _ => {}
    }
}

/// The lines of a file, to find out whether a value is quoted.
pub(crate) struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.lines().collect())
    }

    /// Whether the value at this position is unquoted and no block scalar.
    fn plain_at(&self, position: &Position) -> bool {
        let at = |number: u32| usize::try_from(number).ok()?.checked_sub(1);
        let line = at(position.line).and_then(|at| self.0.get(at));
        let first = line.and_then(|line| line.chars().nth(at(position.column)?));
        first.is_some_and(|first| !matches!(first, '"' | '\'' | '|' | '>' | '!' | '&'))
    }
}

/// Expands one text; faults are messages with their help.
fn expanded(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<(String, String)>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                let help = "write ${NAME} or ${NAME:-default}, or $$ for a $";
                faults.push(("`${` without its `}`".to_owned(), help.to_owned()));
                return out;
            };
            match value(inside, variable) {
                Ok(value) => out.push_str(&value),
                Err(fault) => faults.push(fault),
            }
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The value of `${…}`, or a message and its help.
fn value(
    inside: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let ordinary = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let begins_well = name.bytes().next().is_some_and(|c| !c.is_ascii_digit());
    if !begins_well || !name.bytes().all(ordinary) {
        let help = "write ${NAME} or ${NAME:-default}, or $$ for a $";
        return Err((
            format!("{} is no variable", quoted(&format!("${{{inside}}}"))),
            help.to_owned(),
        ));
    }
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment has no {}", quoted(name)),
            format!("set it, or write ${{{name}:-default}}"),
        )),
    }
}

/// Types a text as YAML types an unquoted one, for numbers, `true` and `false`.
fn typed(text: String) -> Kind {
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let whole = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    match text.as_str() {
        "true" => return Kind::Bool(true),
        "false" => return Kind::Bool(false),
        _ => {}
    }
    if whole
        && !leading_zero
        && let Ok(number) = text.parse::<i64>()
    {
        return Kind::Int(number.into());
    }
    let parts = digits.split_once('.');
    let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let fraction = parts.is_some_and(|(left, right)| digits_only(left) && digits_only(right));
    match text.parse::<f64>() {
        Ok(number) if fraction && number.is_finite() => Kind::Float(number),
        _ => Kind::String(text),
    }
}
