//! File patterns: `conf.d/*.yaml` to the files that are there.

use std::path::{Path, PathBuf};

use crate::faults::{Fault, shown};
use crate::node::Place;

/// The files that fit a pattern, sorted by name; a name without `*` and `?` stands for itself.
pub(crate) fn matching(pattern: &Path, place: &Place) -> Result<Vec<PathBuf>, Fault> {
    let wild = |path: &Path| path.to_string_lossy().contains(['*', '?']);
    if !wild(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let refuse = |message: String| Fault::error(place.clone(), message);
    let (folder, last) = match (pattern.parent(), pattern.file_name()) {
        (Some(folder), Some(last)) if !wild(folder) => (folder, last.to_string_lossy()),
        _ => {
            let message = format!(
                "{} has * or ? in the name of a folder",
                shown(&pattern.display().to_string())
            );
            return Err(refuse(message).with_help("use them in the last part only: conf.d/*.yaml"));
        }
    };
    let listed = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = match std::fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(refuse(format!(
                "{} cannot be listed: {error}",
                folder.display()
            )));
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| refuse(format!("{}: {error}", folder.display())))?;
        let name = entry.file_name();
        if fits(
            &last.chars().collect::<Vec<_>>(),
            &name.to_string_lossy().chars().collect::<Vec<_>>(),
        ) {
            names.push(folder.join(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a name fits a pattern: `*` is any text, `?` one character. Hidden names must be asked
/// for.
fn fits(pattern: &[char], name: &[char]) -> bool {
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    // Row by row: which beginnings of the name fit the pattern so far.
    let mut fitting = vec![false; name.len() + 1];
    if let Some(first) = fitting.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        let mut any_before = false;
        for (at, slot) in next.iter_mut().enumerate() {
            let here = fitting.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1);
            let step = before
                .and_then(|at| fitting.get(at))
                .copied()
                .unwrap_or(false);
            let letter = before.and_then(|at| name.get(at));
            any_before |= here;
            *slot = match wanted {
                '*' => any_before,
                '?' => step,
                wanted => step && letter == Some(wanted),
            };
        }
        fitting = next;
    }
    fitting.last().copied().unwrap_or(false)
}
