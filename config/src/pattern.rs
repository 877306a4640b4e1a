//! File patterns: `conf.d/*.yaml` becomes the list of matching files.

use std::path::{Path, PathBuf};

use wildmatch::WildMatch;

use crate::faults::{Fault, quoted};
use crate::node::Position;

/// The files that match a pattern, sorted by name; a name without `*` and `?` is returned as it is.
pub(crate) fn matching(pattern: &Path, position: &Position) -> Result<Vec<PathBuf>, Fault> {
    let wild = |path: &Path| path.to_string_lossy().contains(['*', '?']);
    if !wild(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let refuse = |message: String| Fault::error(position.clone(), message);
    let (folder, last) = match (pattern.parent(), pattern.file_name()) {
        (Some(folder), Some(last)) if !wild(folder) => (folder, last.to_string_lossy()),
        _ => {
            let message = format!(
                "{} has * or ? in the name of a folder",
                quoted(&pattern.display().to_string())
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
        if is_match(&last, &name.to_string_lossy()) {
            names.push(folder.join(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a name matches a pattern; `*` and `?` match no leading dot.
fn is_match(pattern: &str, name: &str) -> bool {
    (pattern.starts_with('.') || !name.starts_with('.')) && WildMatch::new(pattern).matches(name)
}
